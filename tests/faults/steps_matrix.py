"""Every numbered step of every room, struck while the real services are at work.

A worker is ended with kill -9 and started again, or ended and another takes over, or it is frozen,
another takes over, and it wakes as a zombie long after its lease.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from shared.events import SUBSCRIPTIONS
from shared.steps import STEPS
from tests.faults.lane import Lane, open_lane
from tests.faults.oracles import Violation
from tests.faults.recoveries import RECOVERIES, deliver, end_well, load_before
from tests.faults.scenarios import BAD, FLIPPED, GOOD, Scenario
from tests.faults.strike import Strike
from tests.faults.suite import NEVER_STRUCK, Case, Result, Servers, seed_of

# Passed once for each file or entity of a load; every other step once for a load.
FOR_EACH_ENTITY = {
    *("file_read", "run_cleared", "file_sent", "file_staged", "plan_made", "entity_written")
}
ENTITIES = 4
# A pass of the sweep comes every half second, and some see the load at work.
SWEEPS = 3
# Whoever comes first publishes an event, so the one who was to be struck may find nothing to do.
TRIES = 3


@dataclass(frozen=True, slots=True)
class StepCase(Case):
    """One strike at one step; `recovery` is what becomes of the worker."""

    room: str
    step: str
    recovery: str
    scenario: Scenario
    place: str


class StepsMatrix:
    """The kind: steps x recoveries x scenarios.

    A place is the process that is struck, or which of a load's files, where a step has several.
    """

    name = "step"
    lanes = 4
    boundaries = sum(map(len, STEPS.values()))

    def cases(self, seed: int) -> Sequence[StepCase]:
        """All of them, in an order that the seed makes."""
        cases = list(self._cases(seed))
        random.Random(seed).shuffle(cases)
        return cases

    def open_lane(self, servers: Servers, number: int) -> AbstractAsyncContextManager[Lane]:
        """Four services, the sweep, a database, a bucket."""
        return open_lane(servers, number)

    async def run(self, case: StepCase, lane: Lane) -> Sequence[Violation]:
        """Load, strike, recover, and hold the end against a quiet day."""
        _, recover = RECOVERIES[case.recovery]
        for _ in range(TRIES):
            await lane.begin()
            await load_before(lane, case.scenario)
            lane.order.give(strike_of(case))
            await deliver(lane, case.scenario)
            program = await lane.until_struck()
            if program is not None:
                struck = lane.workers[program]
                return await end_well(lane, case.scenario, recover(lane, struck, case.scenario))
        return [Violation(NEVER_STRUCK, f"no process came to {case.room}.{case.step}")]

    def unreached(self, results: Sequence[Result]) -> Sequence[str]:
        """The steps that no strike hit."""
        hit = {
            (result.case.room, result.case.step)
            for result in results
            if isinstance(result.case, StepCase)
            and all(one.oracle != NEVER_STRUCK for one in result.violations)
        }
        return [
            f"{room}.{step}"
            for room, steps in STEPS.items()
            for step in steps
            if (room, step) not in hit
        ]

    def _cases(self, seed: int) -> Iterator[StepCase]:
        for room, steps in STEPS.items():
            for step in steps:
                for scenario in _scenarios(room, step):
                    for place in _places(room, step):
                        for recovery in RECOVERIES:
                            parts = (self.name, room, step, *filter(None, [place]), recovery)
                            case_id = "/".join((*parts, scenario.name))
                            own_seed = seed_of(seed, case_id)
                            yield StepCase(case_id, own_seed, room, step, recovery, scenario, place)


def strike_of(case: StepCase) -> Strike:
    """Where exactly a case strikes: which pass of the step, by the dice of its seed."""
    dice = random.Random(case.seed)
    loads = len(case.scenario.drops)
    if case.room == "outbox":
        passes = range(1, 2)
    elif case.room == "sweep":
        passes = range(1, SWEEPS + 1)
    elif case.place == "first":
        passes = range(1, 2)
    elif case.place == "later":
        passes = range(2, ENTITIES * loads + 1)
    else:
        passes = range(1, loads + 1)
    number, _ = RECOVERIES[case.recovery]
    process = case.place if case.room == "outbox" else None
    return Strike(case.room, case.step, number, dice.choice(passes), process)


def _scenarios(room: str, step: str) -> Sequence[Scenario]:
    if step == "rejected":
        return (BAD[room],)
    return (*GOOD, FLIPPED) if room == "reporter" else GOOD


def _places(room: str, step: str) -> Sequence[str]:
    if room == "outbox":
        return tuple(SUBSCRIPTIONS)
    return ("first", "later") if step in FOR_EACH_ENTITY else ("",)
