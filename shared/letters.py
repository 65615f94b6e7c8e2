"""Dead letters, read: what no stage could take or belongs to no load, where from, and why."""

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pydantic import BaseModel, Field, ValidationError

from shared.bus.port import DeadLetter, Message
from shared.errors import shown
from shared.events import LONGEST_NAME, SUBSCRIPTIONS, Event, StageName, Topic
from shared.gcs_notification import LONGEST_NAME as LONGEST_OBJECT_NAME
from shared.gcs_notification import Arrival, arrival_of, is_notification
from shared.ledger.delivery import Delivery, Verdict, decide
from shared.ledger.states import Load

LONGEST_PATH = 500

_BY_PUBSUB = "CloudPubSubDeadLetterSource"
# Pub/Sub takes no message whose attributes have names of its own, and each sending is another
# place in a trace: neither tells two letters apart.
_NOT_THE_PUBLISHERS = (_BY_PUBSUB, "goog", "traceparent")
_COUNT = re.compile("[0-9]{1,9}")


class Kind(StrEnum):
    """What a letter is, and so what can be done with it."""

    UNDELIVERED = "undelivered"
    REFUSED = "refused"
    IN_PROCESS = "in_process"
    NO_ENVELOPE = "no_envelope"
    FOREIGN_BUCKET = "foreign_bucket"


class Standing(StrEnum):
    """Whether somebody still has to care for a letter, and if not, why."""

    WAITS = "waits"
    REDRIVEN = "redriven"
    OVERTAKEN = "overtaken"
    OLD = "old"


# As long as Pub/Sub keeps a message: what nobody has cared for by then is not called out any more.
DAYS_OF_WAITING = 7
# What comes from outside: anybody who may knock could fill the table.
FROM_OUTSIDE = frozenset({Kind.NO_ENVELOPE, Kind.FOREIGN_BUCKET})


@dataclass(frozen=True, slots=True)
class Letter:
    """What could not be taken, and where it came from, as far as that is known.

    `identity` tells different letters apart: the same thing that comes again is the same letter.
    `published_at` is when the message was first published, before it became a letter.
    """

    kind: Kind
    identity: tuple[str, ...]
    data: bytes
    reason: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    stage: StageName | None = None
    topic: Topic | None = None
    subscription: str | None = None
    published_at: datetime | None = None
    delivery_key: str | None = None
    load_id: str | None = None

    @property
    def digest(self) -> str:
        """The letter's identity with its data, as SHA-256 in hex."""
        told = json.dumps(self.identity).encode()
        return hashlib.sha256(told + b"\0" + self.data).hexdigest()


class _Named(BaseModel):
    """The least that a body must have to be some load's."""

    load_id: str = Field(max_length=LONGEST_NAME)


def letter_of(message: Message) -> Letter:
    """A message of the topic `dead-letter`, with what Pub/Sub says of its source.

    Where Pub/Sub says nothing, as of a message that a person published there, the source is the
    stage that takes such an event.
    """
    told = {
        name.removeprefix(_BY_PUBSUB): value
        for name, value in message.attributes.items()
        if name.startswith(_BY_PUBSUB)
    }
    attributes = publishers_own(message.attributes)
    name = told.get("Subscription")
    stage, topic = _source(name) or _taker(message.data, attributes) or (None, None)
    project = told.get("SubscriptionProject")
    path = f"projects/{project}/subscriptions/{name}" if name and project else name
    count = told.get("DeliveryCount", "")
    return Letter(
        kind=Kind.UNDELIVERED,
        identity=("message", path or "", json.dumps(sorted(attributes.items()))),
        data=message.data,
        reason=f"delivered {count} times" if _COUNT.fullmatch(count) else "delivered too often",
        attributes=attributes,
        stage=stage,
        topic=topic,
        subscription=path and path[:LONGEST_PATH],
        published_at=_moment(told.get("TopicPublishTime")),
        delivery_key=message.delivery_key,
        load_id=load_named(message.data, attributes),
    )


def letter_in_process(dead: DeadLetter) -> Letter:
    """A message that the in-process bus gave up."""
    message = dead.message
    attributes = publishers_own(message.attributes)
    stage, topic = _source(message.subscription) or (None, None)
    return Letter(
        kind=Kind.IN_PROCESS,
        identity=("message", message.subscription, json.dumps(sorted(attributes.items()))),
        data=message.data,
        reason=f"delivered {dead.attempts} times inside one process; {dead.reason}",
        attributes=attributes,
        stage=stage,
        topic=topic,
        subscription=message.subscription,
        published_at=message.published_at,
        delivery_key=message.delivery_key,
        load_id=load_named(message.data, message.attributes),
    )


def letter_at_the_door(service: str, body: bytes, why: str) -> Letter:
    """A request to a service that is no push envelope."""
    return Letter(
        kind=Kind.NO_ENVELOPE,
        identity=("request", service),
        data=body,
        reason=f"a request to the {service}: {shown(why, most=200)}",
    )


def letter_of_foreign_bucket(arrival: Arrival, message: Message, bucket: str) -> Letter:
    """A manifest in a bucket that is not this system's; one letter for each such bucket."""
    return Letter(
        kind=Kind.FOREIGN_BUCKET,
        identity=("bucket", arrival.bucket),
        data=b"",
        reason=f"a manifest arrived in the bucket {shown(arrival.bucket)}, but CROSSDOCK_BUCKET is "
        f"{bucket}; the last one is {shown(arrival.object_name, most=200)}",
        attributes=message.attributes,
        subscription=message.subscription,
        published_at=message.published_at,
        delivery_key=message.delivery_key,
    )


def letter_of_long_name(message: Message) -> Letter:
    """A manifest whose name is too long to be an arrival; one letter for each such name."""
    name = message.attributes["objectId"]
    return Letter(
        kind=Kind.REFUSED,
        identity=("name", name),
        data=b"",
        reason=f"a manifest's name has {len(name):,} characters, at most {LONGEST_OBJECT_NAME} are "
        f"taken: {shown(name, most=200)}",
        attributes=message.attributes,
        subscription=message.subscription,
        published_at=message.published_at,
        delivery_key=message.delivery_key,
    )


def load_named(data: bytes, attributes: Mapping[str, str]) -> str | None:
    """The load that a message is about, whether or not a stage can take it."""
    with suppress(ValidationError):
        return _Named.model_validate_json(data).load_id
    if is_notification(attributes):
        arrival = arrival_of("", attributes.get("objectId", ""), 0)
        return arrival.load_id[:LONGEST_NAME] if arrival else None
    return None


def publishers_own(attributes: Mapping[str, str]) -> dict[str, str]:
    """The attributes that a message was published with, without what Pub/Sub put to them."""
    return {
        name: value
        for name, value in attributes.items()
        if not name.startswith(_NOT_THE_PUBLISHERS)
    }


def delivery_marks(subscription: str | None, published_at: datetime | None) -> dict[str, str]:
    """How the delivery keys of one message begin and end; a letter does not know its id between."""
    return {
        "key_start": f"{subscription}/",
        "key_end": f"/{published_at.isoformat() if published_at else None}",
    }


def explain(letter: Letter, last_error: str | None, last_kind: str | None) -> str:
    """Why no stage took a message that one could have taken, as far as anything was written down.

    Args:
        letter: the message.
        last_error: the load's last fault.
        last_kind: the last line that the message left in the load's history.
    """
    if letter.stage is None:
        return f"{letter.reason}; which stage it was for is not known"
    if last_error is not None:
        return f"{letter.reason}; the load's last fault: {last_error}"
    if last_kind is not None:
        return f"{letter.reason}; its last line in the load's history is {last_kind!r}"
    return (
        f"{letter.reason}, and the {letter.stage} wrote nothing down: it was away, or could not "
        "reach the database; its log of those hours tells which"
    )


def standing(kind: Kind, *, is_redriven: bool, is_overtaken: bool, waited: timedelta) -> Standing:
    """Whether a letter waits for a person.

    Args:
        kind: what the letter is; only what was undelivered can be overtaken.
        is_redriven: whether it was published again, and has not died since.
        is_overtaken: see `is_overtaken`.
        waited: how long ago it came last.
    """
    if is_redriven:
        return Standing.REDRIVEN
    if kind is Kind.UNDELIVERED and is_overtaken:
        return Standing.OVERTAKEN
    return Standing.OLD if waited > timedelta(days=DAYS_OF_WAITING) else Standing.WAITS


def is_overtaken(
    topic: str | None,
    data: bytes,
    attributes: Mapping[str, str],
    load: Load | None,
    *,
    is_arrival_decided: bool,
) -> bool:
    """Whether a message has nothing left to do, for its load has moved past the stage it was for.

    A replay is never overtaken: what its author wanted has not been done.

    Args:
        topic: where it was published.
        data: its body.
        attributes: what it was published with.
        load: the load that it names, as it stands now.
        is_arrival_decided: whether the manifest that it tells of, if it does, was decided upon.
    """
    if is_notification(attributes):
        return is_arrival_decided
    stage = next((name for name, topics in SUBSCRIPTIONS.items() if topic in topics), None)
    if stage is None or load is None:
        return False
    with suppress(ValueError):
        event = Event.parse(data)
        if event.event_id is not None:
            verdict = decide(Delivery(stage, event, load.bucket), load, load.attempts)
            return verdict in {Verdict.DUPLICATE, Verdict.OLDER_RUN}
    return False


def _source(subscription: str | None) -> tuple[StageName, Topic] | None:
    """The stage and the topic of a subscription's name, `{service}.{topic}`."""
    for stage, topics in SUBSCRIPTIONS.items():
        for topic in topics:
            if subscription == f"{stage}.{topic}":
                return stage, topic
    return None


def _taker(data: bytes, attributes: Mapping[str, str]) -> tuple[StageName, Topic] | None:
    """The stage and the topic that a message is for by what it says of itself."""
    topic: str | None = attributes.get("event")
    if is_notification(attributes):
        topic = Topic.ARRIVED
    with suppress(ValueError):
        topic = Event.parse(data).event or topic
    stages = (stage for stage, topics in SUBSCRIPTIONS.items() if topic in topics)
    stage = next(stages, None)
    return None if stage is None or topic is None else (stage, Topic(topic))


def _moment(text: str | None) -> datetime | None:
    """A time as Pub/Sub writes it, or None for any other text."""
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(text or "")
        return moment.astimezone(UTC) if moment.tzinfo else None
    return None
