"""What a newly noticed manifest generation does to its load: one pure decision."""

from dataclasses import dataclass
from enum import StrEnum

from shared.errors import Failure
from shared.ledger.states import Load, State


class ArrivalVerdict(StrEnum):
    """What becomes of an arrival; the names stand in the table `arrival`."""

    NOTICED = "noticed"
    TAKEN = "taken"
    PENDING = "pending"
    HISTORY = "history"
    SUPERSEDED = "superseded"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ManifestFacts:
    """What is known of a manifest generation once it was read and checked."""

    load_id: str
    partner: str
    manifest_sha256: str | None
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class ArrivalDecision:
    """The verdict, and the failure that a refusal tells of."""

    verdict: ArrivalVerdict
    failure: Failure | None = None


def decide_arrival(facts: ManifestFacts, load: Load | None) -> ArrivalDecision:
    """Whether this generation starts a run, waits for the one in flight, is history or refused.

    A load_id belongs to a partner from the first manifest that passed; a failed load whose
    manifest never did gives way to another partner's valid one.
    """
    if load is None:
        return ArrivalDecision(ArrivalVerdict.TAKEN)
    if load.partner != facts.partner:
        return _decide_for_another_partner(facts, load)
    if load.in_flight:
        return ArrivalDecision(ArrivalVerdict.PENDING)
    if load.state is State.FAILED:
        return ArrivalDecision(ArrivalVerdict.TAKEN)
    is_gone = facts.failure is not None and facts.failure.code == "manifest.changed"
    if is_gone or facts.manifest_sha256 == load.applied_manifest_sha256:
        return ArrivalDecision(ArrivalVerdict.HISTORY)
    return ArrivalDecision(ArrivalVerdict.REFUSED, _reused(facts, "was loaded already"))


def _decide_for_another_partner(facts: ManifestFacts, load: Load) -> ArrivalDecision:
    if load.owned or load.state is not State.FAILED:
        return ArrivalDecision(ArrivalVerdict.REFUSED, _reused(facts, "belongs to another partner"))
    if facts.failure is not None:
        return ArrivalDecision(ArrivalVerdict.REFUSED, facts.failure)
    return ArrivalDecision(ArrivalVerdict.TAKEN)


def _reused(facts: ManifestFacts, why: str) -> Failure:
    return Failure.of(
        "manifest.load_id_reused",
        f"load_id {facts.load_id!r} {why}; the load that stands is untouched",
        file="manifest.json",
    )
