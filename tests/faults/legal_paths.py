"""What a load's history may say, line by line: the paths of docs/events.md and operations/logs.md.

This is a second reading of the pages. It shares nothing with the code that writes the history.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

INPUT = {
    "validator": "received",
    "stager": "validated",
    "upserter": "staged",
    "reporter": "upserted",
}
MILESTONE = {"validator": "validated", "stager": "staged", "upserter": "upserted"}
ORDER = ("received", "validated", "staged", "upserted", "reported")
WITHOUT_EFFECT = frozenset(
    {
        "duplicate",
        "busy",
        "not_yet_due",
        "needs_attention",
        "too_early",
        "older_run",
        "unknown_load",
        "lives_elsewhere",
        "already_replayed",
        "order_conflict",
        "arrival_pending",
        "arrival_history",
        "arrival_superseded",
        "arrival_refused",
        "dead_lettered",
    }
)


@dataclass(frozen=True)
class Line:
    """One line of a history, in the order of `event_no`."""

    kind: str
    run: int | None = None
    stage: str | None = None
    fence: int | None = None


@dataclass
class Way:
    """How far the lines so far have brought a load; `holder` is the claim that is open."""

    state: str | None = None
    reached: str | None = None
    run: int = 0
    fence: int = 0
    holder: Line | None = None
    failed_run: int | None = None
    applied_run: int = 0
    told_run: int = 0
    waits_for_a_person: bool = False

    def follow(self, line: Line) -> str | None:
        """Go one line on, or say why no load may."""
        if line.kind in WITHOUT_EFFECT:
            return None
        step = STEPS.get((line.kind, line.stage is not None))
        return "such a line is in no page" if step is None else step(self, line)

    def reach(self, state: str) -> None:
        self.state = state
        if self.reached is not None and ORDER.index(state) == ORDER.index(self.reached) + 1:
            self.reached = state

    def has_reached(self, state: str) -> bool:
        return self.reached is not None and ORDER.index(self.reached) >= ORDER.index(state)

    def is_due_at(self, stage: str) -> bool:
        """Whether a message for this stage may begin it."""
        if stage == "reporter":
            is_ended = self.state == "upserted" or self.failed_run == self.run
            return is_ended and self.told_run < self.run
        return self.state == INPUT[stage] and self.failed_run != self.run

    def open_claim_of(self, line: Line) -> bool:
        held = self.holder
        return held is not None and (held.stage, held.run, held.fence) == (
            line.stage,
            line.run,
            line.fence,
        )


def _begin(way: Way, line: Line) -> str | None:
    if way.state not in {None, "failed"} or way.applied_run:
        return f"a manifest begins a run of a load that is {way.state}"
    if line.run != way.run + 1:
        return f"run {line.run} comes after run {way.run}"
    is_refused = line.kind == "failed"
    way.run = line.run
    way.state = "failed" if is_refused else "received"
    way.reached = None if is_refused else "received"
    way.failed_run = line.run if is_refused else None
    way.holder, way.waits_for_a_person = None, False
    return None


def _claim(way: Way, line: Line) -> str | None:
    assert line.stage is not None
    if line.run != way.run:
        return f"run {way.run} stands"
    if not way.is_due_at(line.stage):
        return f"a load that is {way.state} is not before the {line.stage}"
    if way.waits_for_a_person:
        return "the load waits for a person"
    way.holder = line
    return None


def _replay(way: Way, line: Line) -> str | None:
    assert line.stage is not None
    if line.run != way.run + 1:
        return f"run {line.run} is replayed after run {way.run}"
    tells_failure = line.stage == "reporter" and way.failed_run == way.run
    if not tells_failure and not way.has_reached(INPUT[line.stage]):
        return f"it has come to {way.reached}, not to what the {line.stage} takes"
    way.run = line.run
    way.failed_run = way.run if tells_failure else None
    way.state = way.state if tells_failure else INPUT[line.stage]
    way.holder, way.waits_for_a_person = line, False
    return None


def _finish(way: Way, line: Line) -> str | None:
    if not way.open_claim_of(line):
        return f"the claim that is open is {way.holder}"
    assert line.stage is not None
    way.holder, way.waits_for_a_person = None, False
    if line.stage == "reporter":
        way.told_run = way.run
        if way.state == "upserted":
            way.reach("reported")
        return None
    way.reach(MILESTONE[line.stage])
    if line.stage == "upserter":
        way.applied_run = way.run
    return None


def _reject(way: Way, line: Line) -> str | None:
    if not way.open_claim_of(line):
        return f"the claim that is open is {way.holder}"
    if line.stage == "reporter":
        return "the reporter rejects no load"
    way.holder, way.waits_for_a_person = None, False
    way.failed_run = way.run
    if not way.applied_run:
        way.state = "failed"
    else:
        way.state = "reported" if way.told_run >= way.applied_run else "upserted"
    return None


def _give_back(way: Way, line: Line) -> str | None:
    if not way.open_claim_of(line):
        return f"the claim that is open is {way.holder}"
    if line.kind == "waiting" and line.stage != "upserter":
        return "only the upserter waits for another load"
    way.holder = None
    return None


def _give_up(way: Way, line: Line) -> str | None:
    if way.holder is None:
        return "no worker has died"
    way.waits_for_a_person = True
    return None


# By kind, and whether a stage says it; a manifest that arrives belongs to no stage.
STEPS: dict[tuple[str, bool], Callable[[Way, Line], str | None]] = {
    ("received", False): _begin,
    ("failed", False): _begin,
    ("failed", True): _reject,
    ("claimed", True): _claim,
    ("replayed", True): _replay,
    ("finished", True): _finish,
    ("postponed", True): _give_back,
    ("released", True): _give_back,
    ("waiting", True): _give_back,
    ("give_up", True): _give_up,
}


def walk(lines: Sequence[Line]) -> tuple[Way, str | None]:
    """Where a history leaves its load, and the first line that no load's history may have."""
    way = Way()
    for number, line in enumerate(lines, start=1):
        complaint = way.follow(line)
        if complaint is not None:
            return way, f"line {number}, {line}: {complaint}"
    return way, None


def first_fence_that_does_not_rise(lines: Sequence[Line]) -> str | None:
    """Every claim's fence is above all before it."""
    highest = 0
    for number, line in enumerate(lines, start=1):
        if line.kind in {"claimed", "replayed"}:
            if line.fence is None or line.fence <= highest:
                return f"line {number}, {line}: fence {highest} was given before"
            highest = line.fence
    return None


def lines_of(rows: Sequence[dict[str, Any]]) -> list[Line]:
    """The rows of one load in `load_event` as lines."""
    return [Line(row["kind"], row["run"], row["stage"], row["fence"]) for row in rows]
