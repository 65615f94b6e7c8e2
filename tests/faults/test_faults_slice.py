"""A slice of `make faults`: some strikes of each kind at the real services; and the frame."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.steps import STEPS
from tests.faults.oracles import Violation
from tests.faults.steps_matrix import StepsMatrix, strike_of
from tests.faults.suite import (
    BROKE_OFF,
    NEVER_STRUCK,
    Case,
    Result,
    Servers,
    chosen,
    run_kind,
)

SEED = 1
LANES = 3
SLICE = (
    "step/validator/admitted/kill-same/new",
    "step/validator/milestone_written/zombie/partners",
    "step/stager/file_staged/later/kill-other/updates",
    "step/stager/rejected/kill-same/replaced",
    "step/upserter/entity_written/first/zombie/late",
    "step/upserter/committed/kill-other/partners",
    "step/reporter/report_made/zombie/updates",
    "step/outbox/event_sent/upserter/kill-same/late",
    "step/sweep/loads_woken/kill-other/new",
)


@pytest.mark.timeout(300)
async def test_services_struck_in_mid_load_end_as_on_a_quiet_day(
    stack_dir: Path, mysql_server_url: str, pubsub_emulator_host: str
) -> None:
    kind = StepsMatrix()
    cases = chosen(kind, SEED, SLICE)
    assert {case.id for case in cases} == set(SLICE)
    servers = Servers(stack_dir, mysql_server_url, pubsub_emulator_host)
    results = await run_kind(kind, cases, servers, LANES, lambda _: None)
    assert {result.case.id: result.violations for result in results} == dict.fromkeys(SLICE, ())


def test_the_same_seed_gives_the_same_cases_and_another_seed_another_order() -> None:
    kind = StepsMatrix()
    assert kind.cases(7) == kind.cases(7)
    assert kind.cases(7) != kind.cases(8)
    assert {case.id for case in kind.cases(7)} == {case.id for case in kind.cases(8)}


def test_every_step_meets_every_end_of_a_worker() -> None:
    met = {(case.room, case.step, case.recovery) for case in StepsMatrix().cases(SEED)}
    recoveries = ("kill-same", "kill-other", "zombie")
    assert met == {
        (room, step, recovery)
        for room, steps in STEPS.items()
        for step in steps
        for recovery in recoveries
    }


def test_a_step_that_no_strike_hit_is_named() -> None:
    kind = StepsMatrix()
    missed = Violation(NEVER_STRUCK, "nobody came")
    results = [
        Result(case, (missed,) if case.step == "gate_taken" else (), 1.0)
        for case in kind.cases(SEED)
    ]
    assert kind.unreached(results) == ["upserter.gate_taken"]


def test_a_strike_that_has_several_files_to_choose_from_hits_one_after_the_first() -> None:
    later = [case for case in StepsMatrix().cases(SEED) if case.place == "later"]
    loads = {case.id: len(case.scenario.drops) for case in later}
    assert all(2 <= strike_of(case).occurrence <= 4 * loads[case.id] for case in later)


@dataclass(frozen=True)
class Breaking:
    """A kind whose one case breaks off."""

    name: str = "breaking"
    lanes: int = 1
    boundaries: int = 0

    def cases(self, seed: int) -> Sequence[Case]:
        return [Case("breaking/one", seed)]

    def open_lane(self, servers: Servers, number: int) -> nullcontext[None]:
        return nullcontext()

    async def run(self, case: Case, lane: None) -> Sequence[Violation]:
        raise ValueError("half way")

    def unreached(self, results: Sequence[Result]) -> Sequence[str]:
        return ()


async def test_a_case_that_breaks_off_has_diverged(tmp_path: Path) -> None:
    kind, told = Breaking(), list[Result]()
    servers = Servers(tmp_path, "mysql://nobody@127.0.0.1:1/none", "127.0.0.1:1")
    results = await run_kind(kind, kind.cases(SEED), servers, None, told.append)
    assert results == told
    assert [one.violations for one in results] == [(Violation(BROKE_OFF, "ValueError: half way"),)]
