"""The state machine of a load, as pure facts: what each stage takes, and what it leaves.

received -> validated -> staged -> upserted -> reported, and `failed` from any of the first three.
A state is the last durable milestone. That a stage is running is a live lease, never a state.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from shared.events import StageName, Topic


class State(StrEnum):
    """The durable milestones of a load, in order, and the end of a rejected one."""

    RECEIVED = "received"
    VALIDATED = "validated"
    STAGED = "staged"
    UPSERTED = "upserted"
    REPORTED = "reported"
    FAILED = "failed"


PROGRESS = (State.RECEIVED, State.VALIDATED, State.STAGED, State.UPSERTED, State.REPORTED)

# Any pause is the longest one by then; without a bound the number would outgrow a float.
MOST_DOUBLINGS = 64

INPUT: dict[StageName, State] = {
    "validator": State.RECEIVED,
    "stager": State.VALIDATED,
    "upserter": State.STAGED,
    "reporter": State.UPSERTED,
}

MILESTONE: dict[StageName, State] = {
    "validator": State.VALIDATED,
    "stager": State.STAGED,
    "upserter": State.UPSERTED,
    "reporter": State.REPORTED,
}

TOPIC_OF: dict[State, Topic] = {
    State.RECEIVED: Topic.ARRIVED,
    State.VALIDATED: Topic.VALIDATED,
    State.STAGED: Topic.STAGED,
    State.UPSERTED: Topic.UPSERTED,
    State.REPORTED: Topic.REPORTED,
    State.FAILED: Topic.FAILED,
}


@dataclass(frozen=True, slots=True)
class Load:
    """One row of the ledger, as far as decisions need it. `now` is the database's clock."""

    load_id: str
    source_system: str
    partner: str
    bucket: str
    prefix: str
    state: State
    reached: State | None
    run: int
    fence: int
    lease_owner: str | None
    lease_until: datetime | None
    attempts: int
    next_attempt_at: datetime | None
    needs_attention: bool
    waiting_since: datetime | None
    waiting_for: str | None
    waiting_for_since: datetime | None
    owned: bool
    generation: int | None
    manifest: bytes | None
    manifest_sha256: str | None
    schema_version: str | None
    version: int | None
    failed_run: int | None
    validated_run: int | None
    staged_run: int | None
    applied_run: int | None
    applied_staged_run: int | None
    applied_fence: int | None
    applied_manifest_sha256: str | None
    reported_run: int | None
    now: datetime

    @property
    def applied(self) -> bool:
        """Whether an upsert of this load ever committed."""
        return self.applied_run is not None

    @property
    def in_flight(self) -> bool:
        """Whether the manifest that stands has still to be applied or to fail."""
        return not self.applied and self.state is not State.FAILED

    @property
    def leased(self) -> bool:
        """Whether some worker holds it now."""
        return self.lease_until is not None and self.lease_until > self.now

    @property
    def unreported(self) -> bool:
        """Whether this run has an outcome that the reporter has not told yet."""
        ended = self.state in {State.UPSERTED, State.FAILED} or self.failed_run == self.run
        return ended and (self.reported_run or 0) < self.run

    def due_at(self, stage: StageName) -> bool:
        """Whether the load stands before this stage."""
        if stage == "reporter":
            return self.unreported
        return self.state is INPUT[stage] and self.failed_run != self.run

    @property
    def due_topic(self) -> Topic | None:
        """The topic whose message makes the load go on, or None when it is at its end."""
        if self.unreported:
            return Topic.FAILED if self.failed_run == self.run else Topic.UPSERTED
        if self.state in {State.RECEIVED, State.VALIDATED, State.STAGED}:
            return TOPIC_OF[self.state]
        return None

    def has_reached(self, state: State) -> bool:
        """Whether the manifest that stands ever came as far as this milestone."""
        return self.reached is not None and PROGRESS.index(self.reached) >= PROGRESS.index(state)


def state_after_failure(load: Load) -> State:
    """Where a rejected run leaves the load: `failed`, or back where an applied load stood."""
    if not load.applied:
        return State.FAILED
    told = load.reported_run is not None and load.reported_run >= (load.applied_run or 0)
    return State.REPORTED if told else State.UPSERTED


def pause_seconds(faults: int, *, base: float, longest: float) -> float:
    """How long a load rests after a fault that followed on so many: `base`, doubled with each."""
    return min(longest, base * 2.0 ** min(faults, MOST_DOUBLINGS))


def as_claimed(load: Load) -> Load:
    """The load as its next worker finds it: a worker that left its lease behind died trying."""
    return replace(load, attempts=load.attempts + (load.lease_owner is not None))


def as_replayed(load: Load, stage: StageName) -> Load:
    """The load as a replay of a stage finds it: a new run at that stage's input.

    A reporter that tells of a failure again keeps it; every other replay starts without one.
    """
    tells_failure = stage == "reporter" and load.failed_run == load.run
    return replace(
        load,
        run=load.run + 1,
        state=load.state if tells_failure else INPUT[stage],
        failed_run=load.run + 1 if tells_failure else None,
        attempts=0,
        waiting_since=None,
        waiting_for=None,
        waiting_for_since=None,
    )
