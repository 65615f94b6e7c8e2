"""The rules of section "Ledger" in ARCHITECTURE.md, line by line, without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.errors import Failure
from shared.events import Event, StageName, Topic
from shared.ledger import delivery
from shared.ledger.arrivals import ArrivalVerdict, ManifestFacts, decide_arrival
from shared.ledger.delivery import Delivery, Verdict, is_due
from shared.ledger.states import Load, State, pause_seconds, state_after_failure

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
RECEIVED = Load(
    load_id="L",
    source_system="acme",
    partner="acme",
    bucket="drops",
    prefix="imports/acme/L/",
    state=State.RECEIVED,
    reached=State.RECEIVED,
    run=1,
    fence=0,
    lease_owner=None,
    lease_until=None,
    attempts=0,
    next_attempt_at=None,
    needs_attention=False,
    waiting_since=None,
    waiting_for=None,
    waiting_for_since=None,
    owned=True,
    generation=1,
    manifest=b"{}",
    manifest_sha256="one",
    schema_version="v1",
    version=1,
    failed_run=None,
    validated_run=None,
    staged_run=None,
    applied_run=None,
    applied_staged_run=None,
    applied_fence=None,
    applied_manifest_sha256=None,
    reported_run=None,
    now=NOW,
)
VALIDATED = replace(RECEIVED, state=State.VALIDATED, reached=State.VALIDATED, validated_run=1)
STAGED = replace(VALIDATED, state=State.STAGED, reached=State.STAGED, staged_run=1)
UPSERTED = replace(
    STAGED,
    state=State.UPSERTED,
    reached=State.UPSERTED,
    applied_run=1,
    applied_staged_run=1,
    applied_fence=3,
    applied_manifest_sha256="one",
)
REPORTED = replace(UPSERTED, state=State.REPORTED, reached=State.REPORTED, reported_run=1)
FAILED = replace(VALIDATED, state=State.FAILED, failed_run=1)
FAILURE = Failure.of("manifest.schema", "rows is missing")


def decide(message: Delivery, load: Load | None) -> Verdict:
    return delivery.decide(message, load, most_attempts=3)


def leased(load: Load) -> Load:
    return replace(load, lease_owner="somebody", lease_until=NOW + timedelta(seconds=5))


def expired(load: Load) -> Load:
    return replace(load, lease_owner="somebody", lease_until=NOW - timedelta(seconds=5))


def event(stage: StageName, *, run: int = 1) -> Delivery:
    return Delivery(stage, Event(load_id="L", event_id="e", run=run), "drops")


def replay(stage: StageName, *, before: bool = False) -> Delivery:
    return Delivery(stage, Event(load_id="L"), "drops", replayed_before=before)


@pytest.mark.parametrize(
    ("stage", "load"),
    [
        ("validator", RECEIVED),
        ("stager", VALIDATED),
        ("upserter", STAGED),
        ("reporter", UPSERTED),
        ("reporter", FAILED),
    ],
)
def test_a_stage_that_is_not_done_and_free_is_claimed(stage: StageName, load: Load) -> None:
    assert decide(event(stage), load) is Verdict.CLAIM


def test_a_lease_that_ran_out_is_no_obstacle() -> None:
    assert decide(event("stager"), expired(VALIDATED)) is Verdict.CLAIM


def test_a_load_whose_workers_keep_dying_is_given_up_for_a_person_to_look_at() -> None:
    assert decide(event("stager"), expired(replace(VALIDATED, attempts=1))) is Verdict.CLAIM
    assert decide(event("stager"), expired(replace(VALIDATED, attempts=2))) is Verdict.GIVE_UP
    assert decide(event("stager"), replace(VALIDATED, attempts=2)) is Verdict.CLAIM


def test_a_live_lease_elsewhere_is_left_alone() -> None:
    assert decide(event("stager"), leased(VALIDATED)) is Verdict.BUSY


@pytest.mark.parametrize(
    ("stage", "load"),
    [
        ("validator", VALIDATED),
        ("stager", UPSERTED),
        ("upserter", REPORTED),
        ("reporter", REPORTED),
    ],
)
def test_an_event_of_a_stage_that_is_done_is_a_duplicate(stage: StageName, load: Load) -> None:
    assert decide(event(stage), load) is Verdict.DUPLICATE


def test_an_event_of_a_load_that_failed_meanwhile_changes_nothing() -> None:
    assert decide(event("stager"), FAILED) is Verdict.DUPLICATE


@pytest.mark.parametrize("stage", ["stager", "upserter", "reporter"])
def test_a_message_for_a_stage_not_yet_reached_is_too_early(stage: StageName) -> None:
    assert decide(event(stage), RECEIVED) is Verdict.TOO_EARLY
    assert decide(replay(stage), RECEIVED) is Verdict.TOO_EARLY


def test_a_message_of_an_older_run_does_nothing() -> None:
    assert decide(event("stager", run=1), replace(VALIDATED, run=2)) is Verdict.OLDER_RUN


def test_a_message_of_a_run_that_does_not_exist_does_nothing() -> None:
    assert decide(event("stager", run=7), VALIDATED) is Verdict.TOO_EARLY


def test_a_message_for_an_unknown_load_does_nothing() -> None:
    assert decide(event("stager"), None) is Verdict.UNKNOWN_LOAD
    assert decide(replay("stager"), None) is Verdict.UNKNOWN_LOAD


def test_a_load_that_lives_in_another_bucket_is_never_touched() -> None:
    elsewhere = replace(VALIDATED, bucket="file://host/drop")
    assert decide(event("stager"), elsewhere) is Verdict.LIVES_ELSEWHERE
    assert decide(replay("stager"), elsewhere) is Verdict.LIVES_ELSEWHERE


def test_a_load_that_waits_is_not_taken_before_its_time() -> None:
    waiting = replace(STAGED, next_attempt_at=NOW + timedelta(seconds=1))
    assert decide(event("upserter"), waiting) is Verdict.NOT_YET_DUE
    assert decide(event("upserter"), replace(waiting, next_attempt_at=NOW)) is Verdict.CLAIM


def test_a_load_that_needs_attention_waits_for_a_replay() -> None:
    stuck = replace(STAGED, needs_attention=True)
    assert decide(event("upserter"), stuck) is Verdict.NEEDS_ATTENTION
    assert decide(replay("upserter"), stuck) is Verdict.REPLAY


@pytest.mark.parametrize("stage", ["validator", "stager", "upserter", "reporter"])
def test_a_body_without_event_id_replays_any_stage_that_was_reached(stage: StageName) -> None:
    assert decide(replay(stage), REPORTED) is Verdict.REPLAY


def test_a_replay_takes_over_a_live_lease() -> None:
    assert decide(replay("stager"), leased(STAGED)) is Verdict.REPLAY


def test_a_redelivered_replay_replays_once() -> None:
    assert decide(replay("stager", before=True), STAGED) is Verdict.ALREADY_REPLAYED


def test_a_failed_load_is_replayed_only_from_what_its_manifest_reached() -> None:
    assert decide(replay("stager"), FAILED) is Verdict.REPLAY
    assert decide(replay("upserter"), FAILED) is Verdict.TOO_EARLY
    assert decide(replay("reporter"), FAILED) is Verdict.REPLAY


def test_a_load_whose_manifest_failed_is_not_replayed_from_the_validator() -> None:
    unreadable = replace(FAILED, reached=None, manifest=None)
    assert decide(replay("validator"), unreadable) is Verdict.TOO_EARLY


def facts(
    *, sha256: str = "two", partner: str = "acme", failure: Failure | None = None
) -> ManifestFacts:
    return ManifestFacts("L", partner, sha256, failure)


@pytest.mark.parametrize("failure", [None, FAILURE])
def test_a_manifest_without_a_load_makes_one_also_when_it_is_wrong(failure: Failure | None) -> None:
    assert decide_arrival(facts(failure=failure), None).verdict is ArrivalVerdict.TAKEN


@pytest.mark.parametrize("sha256", ["one", "two"])
def test_a_failed_load_that_was_never_applied_gets_a_new_run(sha256: str) -> None:
    assert decide_arrival(facts(sha256=sha256), FAILED).verdict is ArrivalVerdict.TAKEN


@pytest.mark.parametrize("sha256", ["one", "two"])
@pytest.mark.parametrize("load", [RECEIVED, VALIDATED, STAGED])
def test_a_manifest_for_a_load_in_flight_waits_for_its_end(sha256: str, load: Load) -> None:
    assert decide_arrival(facts(sha256=sha256), load).verdict is ArrivalVerdict.PENDING


@pytest.mark.parametrize("load", [UPSERTED, REPORTED, replace(REPORTED, state=State.VALIDATED)])
def test_the_same_manifest_for_an_applied_load_is_history(load: Load) -> None:
    decision = decide_arrival(facts(sha256="one"), load)
    assert decision.verdict is ArrivalVerdict.HISTORY
    assert decision.failure is None


def test_a_manifest_that_was_deleted_unread_says_nothing_against_an_applied_load() -> None:
    gone = Failure.of("manifest.changed", "it was deleted")
    facts_of_it = ManifestFacts("L", "acme", None, gone)
    assert decide_arrival(facts_of_it, REPORTED).verdict is ArrivalVerdict.HISTORY


def test_other_bytes_for_an_applied_load_are_refused() -> None:
    decision = decide_arrival(facts(sha256="two"), REPORTED)
    assert decision.verdict is ArrivalVerdict.REFUSED
    assert decision.failure is not None
    assert decision.failure.code == "manifest.load_id_reused"


@pytest.mark.parametrize("load", [RECEIVED, FAILED, REPORTED])
def test_another_partners_load_id_is_refused(load: Load) -> None:
    decision = decide_arrival(facts(partner="globex"), load)
    assert decision.verdict is ArrivalVerdict.REFUSED
    assert decision.failure is not None
    assert decision.failure.code == "manifest.load_id_reused"


def test_a_failed_load_without_a_good_manifest_gives_way_to_another_partners_valid_one() -> None:
    unowned = replace(FAILED, owned=False, reached=None)
    assert decide_arrival(facts(partner="globex"), unowned).verdict is ArrivalVerdict.TAKEN
    wrong = decide_arrival(facts(partner="globex", failure=FAILURE), unowned)
    assert wrong.verdict is ArrivalVerdict.REFUSED
    assert wrong.failure is FAILURE


def test_a_rejected_run_of_a_load_never_applied_is_failed() -> None:
    assert state_after_failure(VALIDATED) is State.FAILED


def test_a_rejected_replay_of_an_applied_load_goes_back_to_where_it_stood() -> None:
    assert state_after_failure(replace(REPORTED, state=State.STAGED, run=2)) is State.REPORTED
    assert state_after_failure(replace(UPSERTED, state=State.STAGED, run=2)) is State.UPSERTED


def test_a_load_put_back_is_still_to_be_told_of_but_not_to_be_loaded_again() -> None:
    put_back = replace(REPORTED, run=2, failed_run=2)
    assert put_back.unreported
    assert put_back.due_topic is Topic.FAILED
    assert decide(event("reporter", run=2), put_back) is Verdict.CLAIM
    assert decide(event("upserter", run=2), put_back) is Verdict.DUPLICATE
    assert replace(put_back, reported_run=2).due_topic is None


@pytest.mark.parametrize(
    ("load", "topic"),
    [
        (RECEIVED, Topic.ARRIVED),
        (VALIDATED, Topic.VALIDATED),
        (STAGED, Topic.STAGED),
        (UPSERTED, Topic.UPSERTED),
        (FAILED, Topic.FAILED),
        (REPORTED, None),
        (replace(FAILED, reported_run=1), None),
    ],
)
def test_each_load_that_is_not_at_its_end_has_one_topic_that_wakes_it(
    load: Load, topic: Topic | None
) -> None:
    assert load.due_topic is topic


def test_the_sweep_gives_a_message_a_leases_time_before_it_sends_another() -> None:
    assert not is_due(STAGED, NOW - timedelta(seconds=59), lease_seconds=60)
    assert is_due(STAGED, NOW - timedelta(seconds=60), lease_seconds=60)


def test_the_sweep_wakes_a_dead_workers_load_when_its_lease_ran_out() -> None:
    assert is_due(expired(STAGED), NOW, lease_seconds=60)
    assert not is_due(leased(STAGED), NOW - timedelta(days=1), lease_seconds=60)


def test_the_sweep_wakes_a_postponed_load_at_its_time_and_not_before() -> None:
    postponed = replace(STAGED, next_attempt_at=NOW + timedelta(seconds=1))
    assert not is_due(postponed, NOW - timedelta(days=1), lease_seconds=60)
    assert is_due(replace(postponed, next_attempt_at=NOW), NOW, lease_seconds=60)


@pytest.mark.parametrize(
    ("faults", "pause"), [(0, 2), (1, 4), (7, 256), (8, 300), (1_100, 300), (2**32, 300)]
)
def test_a_pause_doubles_with_each_fault_up_to_the_longest_however_many_there_are(
    faults: int, pause: float
) -> None:
    assert pause_seconds(faults, base=2, longest=300) == pause
