"""docs/events.md against the topics, the message, the decisions and the local stack's topology."""

import base64
import json
import re

import pytest

from crossdock.stack import topology
from shared.events import SUBSCRIPTIONS, TOPICS, Event, Topic
from shared.gcs_notification import FINALIZED, notification_of, read_notification
from shared.ledger.arrivals import ArrivalVerdict
from shared.ledger.delivery import Delivery, Verdict, decide
from shared.ledger.states import INPUT, MILESTONE, TOPIC_OF
from shared.push import LARGEST_BODY_BYTES
from shared.settings import Settings
from tests.pages import code, column, page, quoted, section, table, tables

PAGE = page("docs/events.md")
BODY = section(PAGE, "## The body")
REPLAY = section(PAGE, "## A replay by hand")


def seconds_until_given_up(shortest: float, longest: float) -> float:
    """How long a message is delivered in vain, each pause twice the one before."""
    pauses = range(topology.MOST_DELIVERY_ATTEMPTS - 1)
    return sum(min(longest, shortest * 2.0**number) for number in pauses)


def test_every_topic_stands_on_the_page_with_who_publishes_and_who_takes_it() -> None:
    rows = table(section(PAGE, "## Topics"))
    assert column(rows, "topic") == list(TOPICS)
    taken_by = {row["topic"].strip("`"): quoted(row["taken by"]) for row in rows}
    published_by = {row["topic"].strip("`"): quoted(row["published by"]) for row in rows}
    for topic in Topic:
        assert taken_by[topic] == [
            name for name, topics in SUBSCRIPTIONS.items() if topic in topics
        ]
        stages = [name for name, state in MILESTONE.items() if TOPIC_OF[state] is topic]
        if topic is Topic.FAILED:
            stages = [name for name in SUBSCRIPTIONS if name != "reporter"]
        assert published_by[topic] == stages


def test_the_local_stacks_subscriptions_are_as_the_page_says() -> None:
    text = section(PAGE, "## Topics")
    assert f"`POST {topology.PUSH_PATH}`" in text
    assert f"an ack deadline of {topology.ACK_DEADLINE_SECONDS} seconds" in text
    assert f"{topology.MOST_DELIVERY_ATTEMPTS} deliveries" in text
    shortest, longest = topology.SHORTEST_BACKOFF_SECONDS, topology.LONGEST_BACKOFF_SECONDS
    assert f"{shortest} to {longest} seconds apart" in " ".join(text.split())
    assert seconds_until_given_up(shortest, longest) > 30 * 60
    assert f"for {topology.RETENTION_SECONDS // 86_400} days" in text
    assert set(topology.PULL_SUBSCRIPTIONS) <= set(quoted(text))


def test_the_example_is_an_event_and_shows_every_field_but_that_of_a_replay() -> None:
    (example,) = code(BODY, "json")
    event = Event.parse(example.encode())
    assert json.loads(event.body()) == json.loads(example)
    assert set(json.loads(example)) == set(Event.model_fields) - {"reason"}


def test_the_fields_and_the_attributes_are_those_of_the_event() -> None:
    rows = table(BODY)
    assert column(rows, "field") == list(Event.model_fields)
    required = [name for name, field in Event.model_fields.items() if field.is_required()]
    assert f"Only `{'` and `'.join(required)}` is required." in BODY
    (example,) = code(BODY, "json")
    sentence = BODY[BODY.index("The attributes repeat") :].partition(".")[0]
    assert quoted(sentence) == list(Event.parse(example.encode()).attributes())


def test_the_notifications_attributes_are_those_that_are_read() -> None:
    rows, _ = tables(section(PAGE, "## The bucket's notification"))
    must_be = dict(zip(column(rows, "attribute"), column(rows, "must be"), strict=True))
    name = must_be["objectId"].format(partner="acme", load_id="L")
    notification = notification_of("drops", name, 7)
    assert list(must_be) == list(notification)
    assert must_be["eventType"] == FINALIZED
    assert read_notification(notification, "drops") is not None
    for attribute in must_be:
        assert read_notification({**notification, attribute: "another"}, "drops") is None


def test_every_verdict_on_an_arrival_is_told() -> None:
    _, rows = tables(section(PAGE, "## The bucket's notification"))
    assert sorted(column(rows, "verdict")) == sorted(ArrivalVerdict)


def test_every_verdict_on_a_message_is_told() -> None:
    rows, _ = tables(section(PAGE, "## What a message does"))
    kinds = {Verdict.CLAIM: "claimed", Verdict.REPLAY: "replayed"}
    assert sorted(column(rows, "history")) == sorted(kinds.get(one, one) for one in Verdict)


def test_the_largest_push_is_as_large_as_the_page_says() -> None:
    assert f"larger than {LARGEST_BODY_BYTES // 2**20} MiB" in PAGE


def test_a_replay_of_a_stage_goes_to_its_input_topic() -> None:
    rows = table(REPLAY)
    assert dict(zip(column(rows, "rerun from"), column(rows, "topic"), strict=True)) == {
        stage: TOPIC_OF[state] for stage, state in INPUT.items()
    }


def bodies_by_hand() -> list[str]:
    by_gcloud, by_curl = code(REPLAY, "sh")
    (message,) = re.findall(r"--message '(.*)'", by_gcloud)
    (request,) = re.findall(r"-d '(.*)'", by_curl)
    (data,) = [one["data"] for one in json.loads(request)["messages"]]
    return [message, base64.b64decode(data).decode()]


@pytest.mark.parametrize("body", bodies_by_hand())
def test_the_messages_by_hand_are_replays(body: str) -> None:
    delivery = Delivery("upserter", Event.parse(body.encode()), "drops")
    assert delivery.is_replay
    assert decide(delivery, None, most_attempts=1) is Verdict.UNKNOWN_LOAD


def test_the_messages_by_hand_go_to_the_default_project_and_a_stages_input() -> None:
    project = Settings.model_fields["project"].default
    by_gcloud, by_curl = code(REPLAY, "sh")
    assert f"topics publish {TOPIC_OF[INPUT['upserter']]} " in by_gcloud
    assert f"/v1/projects/{project}/topics/{TOPIC_OF[INPUT['upserter']]}:publish" in by_curl
