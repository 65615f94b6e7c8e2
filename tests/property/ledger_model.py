"""What the pages say that the ledger must hold of one load: a second reading, without a database.

It is a `Way`, which is what a history may say, with what a message needs beside it: leases,
attempts, times and arrivals.
"""

from dataclasses import dataclass, field

from shared.events import StageName
from tests.faults.legal_paths import INPUT, Line, Way

Verdict = str
MOST_ATTEMPTS = 3
STAGES: tuple[StageName, ...] = ("validator", "stager", "upserter", "reporter")
TOPIC = {
    "received": "manifest.arrived",
    "validated": "manifest.validated",
    "staged": "staged",
    "upserted": "upserted",
    "reported": "reported",
}


@dataclass
class Model:
    """What the pages say that the ledger must hold.

    Attributes:
        way: the load's milestones and runs; no state where there is no load.
        is_owned: a worker has its lease, alive or dead.
        is_live: that lease has not run out.
        next_attempt: `later`, `now`, or None where no time is set.
        attempts: faults since the last milestone.
        needs_attention: it was tried too often.
        events: of each (run, topic), `waiting`, `fresh` or `old`: still to go out, or gone out.
        arrivals: the verdict on each generation.
        stands, applied: which bytes.
    """

    way: Way = field(default_factory=Way)
    fence: int = 0
    is_owned: bool = False
    is_live: bool = False
    next_attempt: str | None = None
    attempts: int = 0
    needs_attention: bool = False
    events: dict[tuple[int, str], str] = field(default_factory=dict)
    arrivals: dict[int, Verdict] = field(default_factory=dict)
    stands: str | None = None
    applied: str | None = None

    @property
    def due_topic(self) -> str | None:
        """The topic of the message that the load waits for."""
        way = self.way
        if way.is_due_at("reporter"):
            return "failed" if way.failed_run == way.run else "upserted"
        return next((TOPIC[INPUT[stage]] for stage in STAGES if way.is_due_at(stage)), None)

    def on_event(self, stage: StageName, run: int) -> Verdict:
        """What becomes of a message with an event_id."""
        way = self.way
        if way.state is None:
            return "unknown_load"
        if run != way.run:
            return "older_run" if run < way.run else "too_early"
        if not way.is_due_at(stage):
            return "duplicate" if self._is_past(stage) else "too_early"
        return self._on_due_event()

    def _on_due_event(self) -> Verdict:
        if self.needs_attention:
            return "needs_attention"
        if self.is_live:
            return "busy"
        if self.next_attempt == "later":
            return "not_yet_due"
        return "give_up" if self.is_owned and self.attempts + 1 >= MOST_ATTEMPTS else "claim"

    def on_replay(self, stage: StageName) -> Verdict:
        """What becomes of a message without one."""
        way = self.way
        if way.state is None:
            return "unknown_load"
        tells_failure = stage == "reporter" and way.failed_run is not None
        return "replay" if tells_failure or way.has_reached(INPUT[stage]) else "too_early"

    def _is_past(self, stage: StageName) -> bool:
        way = self.way
        if way.failed_run == way.run:
            return True
        order = list(TOPIC)
        assert way.state is not None
        return order.index(way.state) > order.index(INPUT[stage])

    def go(self, line: Line) -> None:
        assert self.way.follow(line) is None, line

    def end_lease(self) -> None:
        self.is_owned = self.is_live = False

    def on_arrival(self, generation: int, content: str) -> Verdict:
        """What becomes of the manifest that lies in the bucket, and of its load."""
        way = self.way
        if way.state not in {None, "failed"} and not way.applied_run:
            return "pending"
        if way.applied_run:
            return "history" if content == self.applied else "refused"
        is_known = way.state is not None
        refused = content == "unreadable"
        self.go(Line("failed" if refused else "received", way.run + 1))
        self.fence += is_known
        self.end_lease()
        self.next_attempt, self.attempts, self.needs_attention = None, 0, False
        self.stands = content
        topic = "failed" if refused else "manifest.arrived"
        self.events[way.run, topic] = "waiting" if refused else "fresh"
        return "taken"
