"""Letters: what is read out of a message that was given up, and which of them may go out again."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from crossdock.cli.letters import INSTEAD, UNPUBLISHABLE, why_not_redriven
from shared.bus.port import DeadLetter, Message
from shared.dead_letters import keep_request, refusal_of
from shared.events import SUBSCRIPTIONS, Event, Topic
from shared.gcs_notification import arrival_of, notification_of
from shared.ledger.states import Load
from shared.letters import (
    FROM_OUTSIDE,
    Kind,
    Standing,
    delivery_marks,
    explain,
    is_overtaken,
    letter_at_the_door,
    letter_in_process,
    letter_of,
    letter_of_foreign_bucket,
    load_named,
    publishers_own,
    standing,
)
from tests.pages import column, page, section, table
from tests.unit.test_ledger_decisions import FAILED, REPORTED, STAGED, UPSERTED, VALIDATED, leased

PUBLISHED = datetime(2026, 2, 1, 6, 1, 12, 345000, tzinfo=UTC)
BY_PUBSUB = {
    "CloudPubSubDeadLetterSourceDeliveryCount": "10",
    "CloudPubSubDeadLetterSourceSubscription": "upserter.staged",
    "CloudPubSubDeadLetterSourceSubscriptionProject": "p",
    "CloudPubSubDeadLetterSourceTopicPublishTime": "2026-02-01T06:01:12.345Z",
}
EVENT = Event(event=Topic.STAGED, event_id="e", load_id="load-1", run=1)


def dead(attributes: dict[str, str], data: bytes = EVENT.body(), message_id: str = "7") -> Message:
    """A message of the topic `dead-letter`."""
    return Message(
        data, attributes, "projects/p/subscriptions/reporter.dead-letter", message_id, PUBLISHED
    )


def test_a_dead_letter_tells_where_it_came_from_and_keeps_what_it_was_published_with() -> None:
    letter = letter_of(dead({"event": "staged", "mine": "1", **BY_PUBSUB}))
    assert (letter.kind, letter.stage, letter.topic) == (Kind.UNDELIVERED, "upserter", Topic.STAGED)
    assert letter.subscription == "projects/p/subscriptions/upserter.staged"
    assert letter.attributes == {"event": "staged", "mine": "1"}
    assert letter.published_at == PUBLISHED
    assert letter.load_id == "load-1"
    assert letter.reason == "delivered 10 times"


def test_the_marks_of_a_letter_are_the_ends_of_its_messages_delivery_key() -> None:
    letter = letter_of(dead(BY_PUBSUB))
    delivered = Message(b"", {}, "projects/p/subscriptions/upserter.staged", "3", PUBLISHED)
    marks = delivery_marks(letter.subscription, letter.published_at)
    assert delivered.delivery_key == f"{marks['key_start']}3{marks['key_end']}"


@pytest.mark.parametrize(
    ("stage", "topic"),
    [(stage, topic) for stage, topics in SUBSCRIPTIONS.items() for topic in topics],
)
def test_a_letter_without_a_source_is_for_the_stage_that_takes_its_event(
    stage: str, topic: Topic
) -> None:
    by_body = letter_of(dead({}, EVENT.model_copy(update={"event": topic}).body()))
    by_attribute = letter_of(dead({"event": topic}, b"no json"))
    assert (by_body.stage, by_body.topic) == (stage, topic)
    assert (by_attribute.stage, by_attribute.topic) == (stage, topic)


def test_a_notification_without_a_source_is_for_the_validator_and_names_its_folders_load() -> None:
    attributes = notification_of("drops", "imports/acme/load-1/manifest.json", 7)
    letter = letter_of(dead(attributes, b"{}"))
    assert (letter.stage, letter.topic) == ("validator", Topic.ARRIVED)
    assert letter.load_id == "load-1"
    assert refusal_of(letter) is None


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"event": "reported"},
        {**BY_PUBSUB, "CloudPubSubDeadLetterSourceSubscription": "somebody.else"},
        {**BY_PUBSUB, "CloudPubSubDeadLetterSourceSubscription": "upserter.upserted"},
    ],
)
def test_a_letter_from_nowhere_says_so_and_is_kept(attributes: dict[str, str]) -> None:
    letter = letter_of(dead(attributes, b'{"load_id": "load-1"}'))
    assert (letter.stage, letter.topic) == (None, None)
    assert "is not known" in explain(letter, "an error", "claimed")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DeliveryCount", "x" * 1000),
        ("TopicPublishTime", "yesterday"),
        ("TopicPublishTime", "2026-02-01T06:01:12"),
        ("TopicPublishTime", "0001-01-01T00:00:00+14:00"),
        ("Subscription", "x" * 5000),
    ],
)
def test_odd_words_of_the_source_do_no_harm(name: str, value: str) -> None:
    odd = {**BY_PUBSUB, f"CloudPubSubDeadLetterSource{name}": value}
    letter = letter_of(dead(odd))
    assert len(letter.reason) < 100
    assert len(letter.subscription or "") <= 500
    assert letter.published_at in {None, PUBLISHED}


def test_the_same_message_is_the_same_letter_however_often_it_dies() -> None:
    first = letter_of(dead({"event": "staged", **BY_PUBSUB}))
    later = {**BY_PUBSUB, "CloudPubSubDeadLetterSourceTopicPublishTime": "2026-02-09T00:00:00Z"}
    again = letter_of(dead({"event": "staged", **later}, message_id="8"))
    assert first.digest == again.digest
    assert first.delivery_key != again.delivery_key
    others = [
        letter_of(dead({"event": "staged", **BY_PUBSUB}, b"another")),
        letter_of(dead({"event": "upserted", **BY_PUBSUB})),
        letter_of(dead({"event": "staged"})),
        letter_at_the_door("upserter", EVENT.body(), "…"),
        letter_at_the_door("stager", EVENT.body(), "…"),
    ]
    assert len({first.digest, *(other.digest for other in others)}) == 1 + len(others)


def test_what_pubsub_put_to_a_message_is_not_published_again() -> None:
    assert publishers_own({**BY_PUBSUB, "googclient_deliveryattempt": "5", "event": "x"}) == {
        "event": "x"
    }


@pytest.mark.parametrize(
    "data",
    [b"", b"no json", b"[]", b"[" * 100_000, b'{"load_id": 7}', b'{"load_id": "\\ud800"}', b"\xff"],
)
def test_a_body_that_names_no_load_is_about_none(data: bytes) -> None:
    assert load_named(data, {}) is None


def test_a_body_that_no_stage_takes_still_names_its_load() -> None:
    assert load_named(b'{"load_id": "load-1", "run": -1}', {}) == "load-1"


def test_what_a_stage_can_never_take_is_told_in_its_own_words() -> None:
    no_event = letter_of(dead(BY_PUBSUB, b"no json"))
    assert "is no event" in (refusal_of(no_event) or "")
    upserted = EVENT.model_copy(update={"event": Topic.UPSERTED})
    strange = letter_of(dead(BY_PUBSUB, upserted.body()))
    assert refusal_of(strange) == "upserted is no message for the upserter"
    assert refusal_of(letter_of(dead(BY_PUBSUB))) is None


def test_a_notification_that_died_at_another_stage_than_the_first_is_refused_there() -> None:
    attributes = notification_of("drops", "imports/acme/load-1/manifest.json", 7)
    letter = letter_of(dead({**attributes, **BY_PUBSUB}, b"{}"))
    assert letter.stage == "upserter"
    assert refusal_of(letter) is not None


def test_the_reason_is_the_last_that_was_written_down() -> None:
    letter = letter_of(dead(BY_PUBSUB))
    assert explain(letter, "disk full", "claimed") == (
        "delivered 10 times; the load's last fault: disk full"
    )
    assert "'claimed'" in explain(letter, None, "claimed")
    assert "the upserter wrote nothing down" in explain(letter, None, None)


def test_a_letter_of_one_process_keeps_the_buses_reason() -> None:
    message = Message(b"no json", {}, "upserter.staged", "1", PUBLISHED)
    letter = letter_in_process(DeadLetter(message, Topic.STAGED, "the handler answered refused", 5))
    assert (letter.kind, letter.stage) == (Kind.IN_PROCESS, "upserter")
    assert letter.reason.startswith("delivered 5 times")
    assert letter.reason.endswith("the handler answered refused")


def test_no_name_from_outside_stands_in_a_reason_as_it_came() -> None:
    arrival = arrival_of("b\nad" * 100, "imports/p/l\r\n/manifest.json", 1)
    assert arrival is not None
    message = Message(b"{}", {}, "validator.manifest.arrived", "1", PUBLISHED)
    for letter in (
        letter_of_foreign_bucket(arrival, message, "drops"),
        letter_at_the_door("stager", b"x", "bad\n" * 500),
    ):
        assert letter.kind in FROM_OUTSIDE
        assert letter.reason.isprintable()
        assert letter.reason.isascii()
        assert len(letter.reason) < 500


def kept(**changes: Any) -> dict[str, Any]:
    """A letter as the database has it."""
    return {
        "kind": "undelivered",
        "topic": "staged",
        "data": b"{}",
        "size_bytes": 2,
        "attributes": json.dumps({"event": "staged"}),
        "redriven_at": None,
        **changes,
    }


@pytest.mark.parametrize("kind", ["undelivered", "refused"])
def test_a_letter_that_came_from_a_topic_is_published_there_again(kind: str) -> None:
    assert why_not_redriven(kept(kind=kind), None) is None


@pytest.mark.parametrize(
    ("changes", "replayed_run", "why"),
    [
        *(({"kind": kind}, None, text) for kind, text in INSTEAD.items()),
        ({"redriven_at": datetime(2026, 2, 1, tzinfo=UTC)}, None, "2026-02-01"),
        ({"topic": None}, None, "not known"),
        ({"size_bytes": 3}, None, "only the first 2 of its 3 bytes"),
        *(
            ({"attributes": json.dumps({name: ""})}, None, "cannot be published from here")
            for name in sorted(UNPUBLISHABLE)
        ),
        ({}, 4, "run 4"),
    ],
)
def test_a_letter_that_cannot_or_need_not_go_out_again_says_why(
    changes: dict[str, Any], replayed_run: int | None, why: str
) -> None:
    assert why in (why_not_redriven(kept(**changes), replayed_run) or "")


async def test_a_database_that_is_away_keeps_nothing_and_troubles_no_caller() -> None:
    with structlog.testing.capture_logs() as logged:
        await keep_request("stager", "mysql://u:p@127.0.0.1:1/d", b"x", "not a push envelope")
    assert [line["event"] for line in logged] == ["letter.not_kept"]


def test_every_kind_of_letter_is_told_with_what_to_do() -> None:
    rows = table(section(page("docs/operations.md"), "## Letters"))
    assert column(rows, "kind") == list(Kind)
    assert all(row["what to do"] for row in rows)


def test_a_letters_digest_does_not_depend_on_what_is_said_of_it() -> None:
    letter = letter_of(dead(BY_PUBSUB))
    assert replace(letter, kind=Kind.REFUSED, reason="another").digest == letter.digest


@pytest.mark.parametrize(
    ("load", "overtaken"),
    [
        (None, False),
        (VALIDATED, False),
        (STAGED, False),
        (leased(STAGED), False),
        (UPSERTED, True),
        (REPORTED, True),
        (FAILED, True),
        (replace(STAGED, run=2), True),
    ],
)
def test_an_event_is_overtaken_once_its_load_is_past_the_stage_that_it_was_for(
    load: Load | None, overtaken: bool
) -> None:
    found = is_overtaken(Topic.STAGED, EVENT.body(), {}, load, is_arrival_decided=False)
    assert found is overtaken


def test_a_replay_is_not_overtaken_nor_is_what_cannot_be_read() -> None:
    for data in (Event(load_id="load-1").body(), EVENT.body()[:-1], b""):
        assert not is_overtaken(Topic.STAGED, data, {}, REPORTED, is_arrival_decided=False)
    assert not is_overtaken(None, EVENT.body(), {}, REPORTED, is_arrival_decided=False)


@pytest.mark.parametrize("decided", [True, False])
def test_a_notification_is_overtaken_once_its_manifest_was_decided_upon(decided: bool) -> None:
    attributes = notification_of("drops", "imports/acme/load-1/manifest.json", 1)
    found = is_overtaken(Topic.ARRIVED, b"{}", attributes, None, is_arrival_decided=decided)
    assert found is decided


@pytest.mark.parametrize(
    ("kind", "facts", "stands"),
    [
        (Kind.UNDELIVERED, {}, Standing.WAITS),
        (Kind.UNDELIVERED, {"is_overtaken": True}, Standing.OVERTAKEN),
        (Kind.REFUSED, {"is_overtaken": True}, Standing.WAITS),
        (Kind.UNDELIVERED, {"is_overtaken": True, "is_redriven": True}, Standing.REDRIVEN),
        (Kind.UNDELIVERED, {"waited": timedelta(days=8)}, Standing.OLD),
        (Kind.NO_ENVELOPE, {"waited": timedelta(days=8)}, Standing.OLD),
    ],
)
def test_a_letter_waits_until_it_was_published_again_or_overtaken_or_is_old(
    kind: Kind, facts: dict[str, Any], stands: Standing
) -> None:
    usual = {"is_redriven": False, "is_overtaken": False, "waited": timedelta(hours=1)}
    assert standing(kind, **{**usual, **facts}) is stands
