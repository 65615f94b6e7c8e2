"""What one delivered message does to a load: pure decisions over the message and the ledger row."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.events import Event, StageName
from shared.ledger.states import INPUT, Load, State


class Verdict(StrEnum):
    """What to do with a message; all but the first two leave a line of history.

    A duplicate also has the next stage's event sent again, and GIVE_UP marks the load.
    """

    CLAIM = "claim"
    REPLAY = "replay"
    DUPLICATE = "duplicate"
    BUSY = "busy"
    NOT_YET_DUE = "not_yet_due"
    TOO_EARLY = "too_early"
    OLDER_RUN = "older_run"
    UNKNOWN_LOAD = "unknown_load"
    LIVES_ELSEWHERE = "lives_elsewhere"
    ALREADY_REPLAYED = "already_replayed"
    NEEDS_ATTENTION = "needs_attention"
    GIVE_UP = "give_up"
    ORDER_CONFLICT = "order_conflict"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message at one stage. `replayed_before` is known by the delivery's key in the history."""

    stage: StageName
    event: Event
    bucket: str
    replayed_before: bool = False

    @property
    def is_replay(self) -> bool:
        """Whether a person wrote it: only a body without event_id is a deliberate replay."""
        return self.event.event_id is None


def decide(delivery: Delivery, load: Load | None, most_attempts: int) -> Verdict:
    """The verdict on a message, by the rules of delivery.

    A worker that died has had its attempt too: after `most_attempts` the load waits for a person.
    """
    if load is None:
        return Verdict.UNKNOWN_LOAD
    if load.bucket != delivery.bucket:
        return Verdict.LIVES_ELSEWHERE
    if delivery.is_replay:
        return _decide_replay(delivery, load)
    run = delivery.event.run if delivery.event.run is not None else load.run
    if run < load.run:
        return Verdict.OLDER_RUN
    if run > load.run:
        return Verdict.TOO_EARLY
    return _decide_event(delivery.stage, load, most_attempts)


def is_due(load: Load, published_at: datetime, lease_seconds: float) -> bool:
    """Whether a load at rest wants another message.

    A load that waits has its time set. Otherwise its last message has had a lease's time to be
    taken up, and its last worker, if any, has let its lease run out.
    """
    if load.next_attempt_at is not None:
        return load.next_attempt_at <= load.now
    if load.lease_until is not None:
        return load.lease_until <= load.now
    return published_at + timedelta(seconds=lease_seconds) <= load.now


def _decide_replay(delivery: Delivery, load: Load) -> Verdict:
    if delivery.replayed_before:
        return Verdict.ALREADY_REPLAYED
    told = delivery.stage == "reporter" and load.failed_run is not None
    if told or load.has_reached(INPUT[delivery.stage]):
        return Verdict.REPLAY
    return Verdict.TOO_EARLY


def _decide_event(stage: StageName, load: Load, most_attempts: int) -> Verdict:
    if not load.due_at(stage):
        return Verdict.DUPLICATE if _is_past(stage, load) else Verdict.TOO_EARLY
    if load.needs_attention:
        return Verdict.NEEDS_ATTENTION
    if load.leased:
        return Verdict.BUSY
    if load.next_attempt_at is not None and load.next_attempt_at > load.now:
        return Verdict.NOT_YET_DUE
    worker_died = load.lease_owner is not None
    if worker_died and load.attempts + 1 >= most_attempts:
        return Verdict.GIVE_UP
    return Verdict.CLAIM


def _is_past(stage: StageName, load: Load) -> bool:
    if load.failed_run == load.run or load.state is State.FAILED:
        return True
    order = list(State)
    return order.index(load.state) > order.index(INPUT[stage])
