"""The instruments of the project; docs/metrics.md tells what each counts and when to look.

An attribute has few values that are known beforehand: a stage, an entity, a state, a code. No load,
partner or key ever becomes one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from opentelemetry import metrics

from shared.events import StageName
from shared.ledger.states import State

# From the quickest answer of a stage to the longest work of a pull worker, in seconds.
_DURATIONS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200)

_meter = metrics.get_meter("crossdock")

_stage_duration = _meter.create_histogram(
    "crossdock.stage.duration",
    unit="s",
    description="How long a stage had a load in hand",
    explicit_bucket_boundaries_advisory=_DURATIONS,
)
_runs_rejected = _meter.create_counter(
    "crossdock.runs.rejected", unit="{run}", description="Runs that a partner's fault ended"
)
_rows = _meter.create_counter(
    "crossdock.rows", unit="{row}", description="What runs did with their rows"
)
_leases_lost = _meter.create_counter(
    "crossdock.leases.lost", unit="{lease}", description="Workers that found their load taken over"
)
_loads = _meter.create_gauge(
    "crossdock.loads", unit="{load}", description="Loads in the ledger, by their last milestone"
)
_loads_needing_attention = _meter.create_gauge(
    "crossdock.loads.needing_attention", unit="{load}", description="Loads that wait for a person"
)
_oldest_load_age = _meter.create_gauge(
    "crossdock.loads.oldest_age",
    unit="s",
    description="How long the oldest run that is not at its end has been under way",
)
_outbox_age = _meter.create_gauge(
    "crossdock.outbox.age", unit="s", description="How long the oldest event has waited to go out"
)
_arrivals_pending = _meter.create_gauge(
    "crossdock.arrivals.pending", unit="{arrival}", description="Manifests still to be decided"
)
_dead_letters_waiting = _meter.create_gauge(
    "crossdock.dead_letters.waiting", unit="{letter}", description="Letters that wait for a person"
)


class Outcome(StrEnum):
    """How a stage gave a load out of its hand."""

    FINISHED = "finished"
    REJECTED = "rejected"
    WAITING = "waiting"
    POSTPONED = "postponed"
    LEASE_LOST = "lease_lost"


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in the database at one moment; ages in seconds, 0 where nothing waits."""

    loads: Mapping[State, int]
    needing_attention: int
    oldest_load_age: float
    outbox_age: float
    arrivals_pending: int
    dead_letters_waiting: int


def count_stage(stage: StageName, outcome: Outcome, seconds: float) -> None:
    """A stage has given a load out of its hand."""
    _stage_duration.record(seconds, {"stage": stage, "outcome": outcome})
    if outcome is Outcome.LEASE_LOST:
        _leases_lost.add(1, {"stage": stage})


def count_rejection(stage: StageName, code: str) -> None:
    """A stage has rejected a run, for a code of the catalogue."""
    _runs_rejected.add(1, {"stage": stage, "code": code})


def count_rows(entity: str, outcome: str, rows: int) -> None:
    """A run had so many rows of an entity with this outcome."""
    _rows.add(rows, {"entity": entity, "outcome": outcome})


def show_backlog(backlog: Backlog) -> None:
    """Tell what waits now."""
    for state in State:
        _loads.set(backlog.loads.get(state, 0), {"state": state})
    _loads_needing_attention.set(backlog.needing_attention)
    _oldest_load_age.set(backlog.oldest_load_age)
    _outbox_age.set(backlog.outbox_age)
    _arrivals_pending.set(backlog.arrivals_pending)
    _dead_letters_waiting.set(backlog.dead_letters_waiting)
