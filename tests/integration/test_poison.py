"""Messages and loads that break whoever takes them: told once, and never round for ever."""

import json
from dataclasses import replace
from pathlib import Path

from crossdock.pipeline import Ending
from services.upserter.stage import STAGE as UPSERTER
from services.validator.stage import STAGE as VALIDATOR
from shared.bus.memory import MemoryBus
from shared.bus.port import Answer, Message
from shared.clock import now
from shared.errors import Failure, Rejected
from shared.events import Event
from shared.gcs_notification import notification_of
from shared.ledger.delivery import Delivery, Verdict
from shared.ledger.lease import Claim
from shared.mysql.connect import Database
from shared.partners import Partners
from shared.stage import Parts, Stage, run_stage
from tests.drops import Drop
from tests.loads import arrival, run
from tests.production import content, is_empty

EVENT = {"load_id": "load-1", "event_id": "e"}
BODIES = {
    "a run that is no number of a run": {**EVENT, "run": -1},
    "a run of 32 bits and more": {**EVENT, "run": 2**32},
    "a run of 100 bits": {**EVENT, "run": 2**100},
    "a load_id with a NUL": {**EVENT, "load_id": "a\0b"},
    "a load_id of 100,000 characters": {**EVENT, "load_id": "x" * 100_000},
    "a load_id with half a surrogate pair": {**EVENT, "load_id": "\ud800"},
    "an event_id of 100,000 characters": {**EVENT, "event_id": "x" * 100_000},
    "a reason of 100,000 characters": {"load_id": "load-1", "reason": "x" * 100_000},
    "an event of another stage": {**EVENT, "event": "upserted"},
    "an event that does not exist": {**EVENT, "event": "x"},
}


async def test_a_message_is_only_asked_for_again_where_that_can_help(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    await run(parts, drop)
    before = await content(database)
    wrong: dict[str, Answer | str] = {}
    for name, body in BODIES.items():
        message = Message(json.dumps(body).encode(), {}, "upserter.staged", name, now())
        try:
            answer: Answer | str = await run_stage(UPSERTER, message, parts)
        except Exception as fault:  # noqa: BLE001 - it is what the test looks for
            answer = repr(fault)
        if answer not in {Answer.DONE, Answer.REFUSED}:
            wrong[name] = answer
    assert wrong == {}
    assert await content(database) == before


async def validated(parts: Parts, bucket_dir: Path) -> Delivery:
    """The delivery that brings a validated load to the stager."""
    drop = Drop()
    drop.write(bucket_dir)
    found = await arrival(parts, drop)
    attributes = notification_of(found.bucket, found.object_name, found.generation)
    message = Message(b"{}", attributes, "validator.manifest.arrived", "1", now())
    await run_stage(VALIDATOR, message, replace(parts, bus=MemoryBus()))
    return Delivery("stager", Event(load_id="load-1", event_id="e", run=1), "drops")


async def test_a_load_whose_workers_all_die_waits_for_a_person_and_the_last_is_still_ended(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    settings = parts.settings.model_copy(update={"attempts_before_attention": 3})
    ledger = type(parts.ledger)(settings)
    delivery = await validated(parts, bucket_dir)
    tokens: list[str] = []
    for _ in range(10):
        verdict = await ledger.claim(delivery, None)
        if isinstance(verdict, Claim):
            tokens.append(verdict.token)
        await database.execute("UPDATE load_ledger SET lease_until = NOW(6) - INTERVAL 1 SECOND")
    assert (verdict, len(tokens)) == (Verdict.NEEDS_ATTENTION, 3)
    replayed = await ledger.claim(replace(delivery, event=Event(load_id="load-1")), "replay")
    assert isinstance(replayed, Claim)
    assert replayed.predecessor == tokens[-1]


async def test_a_verdict_too_long_to_be_written_is_cut_or_counts_as_a_fault(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    delivery = await validated(parts, bucket_dir)

    async def reject(_claim: Claim, _parts: Parts) -> None:
        raise Rejected(Failure.of("file.changed", "x" * 70_000))

    message = Message(delivery.event.body(), {}, "stager.manifest.validated", "1", now())
    answer = await run_stage(Stage("stager", reject), message, parts)
    row = await database.fetch_one("SELECT state, attempts, lease_owner FROM load_ledger")
    was_told = (Answer.DONE, {"state": "failed", "attempts": 0, "lease_owner": None})
    was_counted = (Answer.RETRY, {"state": "validated", "attempts": 1, "lease_owner": None})
    assert (answer, row) in (was_told, was_counted)


async def test_a_drop_that_failed_is_judged_anew_when_it_is_run_again(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    strict = replace(parts, partners=Partners(unknown_folders="refuse"))
    assert (await run(strict, drop)).ending is Ending.FAILED
    code = "SELECT failure_code FROM load_ledger"
    assert await database.fetch_value(code) == "partner.unknown"
    assert is_empty(await content(database))
    assert (await run(parts, drop)).ending is Ending.REPORTED
