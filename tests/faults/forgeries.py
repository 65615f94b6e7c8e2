"""Messages that no service published: what a stage must record or refuse, and else leave alone.

Each forgery is made with a dice, from a drop of the schedule, for the bucket of that name.
"""

import json
import random
from collections.abc import Callable
from typing import Any
from uuid import UUID

from shared.events import SUBSCRIPTIONS
from shared.gcs_notification import notification_of
from tests.drops import Drop

TOPICS = tuple(topic.value for topics in SUBSCRIPTIONS.values() for topic in topics)
Published = tuple[str, bytes, dict[str, str]]
GARBAGE = (b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"load_id": 5}', b"[" * 10_000)


def replay(dice: random.Random, load_id: str) -> Published:
    """What a person publishes to rerun a stage: a body without event_id."""
    body = {"load_id": load_id, "reason": "a drill"}
    return dice.choice(TOPICS), json.dumps(body).encode(), {}


def _event(dice: random.Random, **facts: Any) -> bytes:
    event_id = str(UUID(int=dice.getrandbits(128)))
    return json.dumps({"event_id": event_id, **facts}).encode()


def of_no_load(dice: random.Random, drop: Drop, bucket: str) -> Published:
    return dice.choice(TOPICS), _event(dice, load_id="nobody", run=1), {}


def replay_of_no_load(dice: random.Random, drop: Drop, bucket: str) -> Published:
    return replay(dice, "é" * dice.choice((1, 255)))


def of_another_run(dice: random.Random, drop: Drop, bucket: str) -> Published:
    run = dice.choice((1, 2, 3, 2**31 - 1))
    return dice.choice(TOPICS), _event(dice, load_id=drop.load_id, run=run), {}


def of_the_run_that_stands(dice: random.Random, drop: Drop, bucket: str) -> Published:
    return dice.choice(TOPICS), _event(dice, load_id=drop.load_id), {}


def of_another_stage(dice: random.Random, drop: Drop, bucket: str) -> Published:
    event = dice.choice((*TOPICS, "reported", "dead-letter", "made-up"))
    return dice.choice(TOPICS), _event(dice, event=event, load_id=drop.load_id, run=1), {}


def of_another_partner(dice: random.Random, drop: Drop, bucket: str) -> Published:
    facts = {"load_id": drop.load_id, "source_system": "mallory", "run": 1}
    return dice.choice(TOPICS), _event(dice, **facts), {}


def garbage(dice: random.Random, drop: Drop, bucket: str) -> Published:
    return dice.choice(TOPICS), dice.choice(GARBAGE), {}


def of_a_bad_number(dice: random.Random, drop: Drop, bucket: str) -> Published:
    run = dice.choice((0, -1, 10**30, "1", None))
    return dice.choice(TOPICS), _event(dice, load_id=drop.load_id, run=run), {}


def of_another_generation(dice: random.Random, drop: Drop, bucket: str) -> Published:
    generation = dice.choice((1, 2**63 - 1))
    attributes = notification_of(bucket, f"{drop.prefix}manifest.json", generation)
    return "manifest.arrived", b"{}", attributes


def of_no_manifest(dice: random.Random, drop: Drop, bucket: str) -> Published:
    place = dice.choice(("imports/mallory/ghost/", "imports/mallory/\u0661/"))
    return "manifest.arrived", b"{}", notification_of(bucket, f"{place}manifest.json", 1)


def that_is_none_of_ours(dice: random.Random, drop: Drop, bucket: str) -> Published:
    ours = notification_of(bucket, f"{drop.prefix}manifest.json", 1)
    other = dice.choice(
        (
            {"eventType": "OBJECT_DELETE"},
            {"bucketId": "elsewhere"},
            {"objectId": f"{drop.prefix}deeper/manifest.json"},
            {"objectGeneration": "9" * 30},
        )
    )
    return "manifest.arrived", b"{}", {**ours, **other}


FORGERIES: tuple[Callable[[random.Random, Drop, str], Published], ...] = (
    of_no_load,
    replay_of_no_load,
    of_another_run,
    of_the_run_that_stands,
    of_another_stage,
    of_another_partner,
    garbage,
    of_a_bad_number,
    of_another_generation,
    of_no_manifest,
    that_is_none_of_ours,
)
