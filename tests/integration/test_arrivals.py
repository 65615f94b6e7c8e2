"""Manifests as they come: again, replaced, deleted, from another partner, into a running load."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from crossdock.pipeline import subscribe_stages
from services.validator.stage import STAGE as VALIDATOR
from shared.bus.memory import MemoryBus
from shared.bus.port import Message
from shared.clock import now
from shared.events import Topic
from shared.gcs_notification import notification_of
from shared.ledger.states import Load, State
from shared.mysql.connect import Database
from shared.stage import Parts, run_stage
from shared.storage.port import ObjectInfo
from shared.sweep import sweep
from tests.drops import Drop, later
from tests.production import content, is_empty


@dataclass
class Bench:
    """A bucket folder, the four stages, and a look into the ledger."""

    parts: Parts
    bus: MemoryBus
    root: Path
    database: Database

    async def manifest(self, drop: Drop) -> ObjectInfo:
        found = await self.parts.storage.stat(drop.prefix + "manifest.json")
        assert found is not None
        return found

    async def notify(self, drop: Drop, *, generation: int | None = None) -> None:
        """Tell the validator of a manifest, as the bucket does, and let all stages run."""
        if generation is None:
            generation = (await self.manifest(drop)).generation
        name = drop.prefix + "manifest.json"
        await self.bus.publish(Topic.ARRIVED, b"{}", notification_of("drops", name, generation))
        await self.bus.drain()

    async def load(self, load_id: str = "load-1") -> Load | None:
        return await self.parts.ledger.read(load_id)

    async def failure_code(self, load_id: str = "load-1") -> str | None:
        code: str | None = await self.database.fetch_value(
            "SELECT failure_code FROM load_ledger WHERE load_id = %(load_id)s", {"load_id": load_id}
        )
        return code

    async def verdicts(self) -> list[str]:
        rows = await self.database.fetch_all("SELECT verdict FROM arrival ORDER BY noticed_at")
        return [row["verdict"] for row in rows]


@pytest.fixture
def bench(parts: Parts, bucket_dir: Path, database: Database) -> Bench:
    bus = MemoryBus(max_attempts=3, backoff_seconds=0.01)
    parts = replace(parts, bus=bus)
    subscribe_stages(bus, parts, lambda _: None)
    return Bench(parts, bus, bucket_dir, database)


async def test_a_notification_that_comes_twice_makes_one_load_and_one_notice(bench: Bench) -> None:
    drop = Drop()
    drop.write(bench.root)
    await bench.notify(drop)
    await bench.notify(drop)
    load = await bench.load()
    assert load is not None
    assert (load.state, load.run) == (State.REPORTED, 1)
    assert await bench.verdicts() == ["taken"]
    notices = "SELECT COUNT(*) FROM notification WHERE channel = 'log'"
    assert await bench.database.fetch_value(notices) == 1


async def test_a_manifest_that_was_replaced_before_it_is_read_gives_way_to_the_newest(
    bench: Bench,
) -> None:
    drop = Drop(manifest_changes={"schema_version": "v0"})
    drop.write(bench.root)
    older = (await bench.manifest(drop)).generation
    Drop().write(bench.root)
    await bench.notify(drop, generation=older)
    assert await bench.verdicts() == ["superseded", "taken"]
    load = await bench.load()
    assert load is not None
    assert load.state is State.REPORTED


async def test_a_manifest_that_was_deleted_before_it_is_read_fails_the_load(bench: Bench) -> None:
    drop = Drop()
    folder = drop.write(bench.root)
    generation = (await bench.manifest(drop)).generation
    (folder / "manifest.json").unlink()
    await bench.notify(drop, generation=generation)
    assert await bench.failure_code() == "manifest.changed"


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        (b"", "manifest.invalid_json"),
        (b"\xef\xbb\xbf{}", "manifest.invalid_json"),
        (b"[" * 30_000, "manifest.invalid_json"),
        (b'{"rows": ' + b"1" * 5000 + b"}", "manifest.invalid_json"),
        (b" " * 65_537, "manifest.too_large"),
        (b'{"a": 1, "a": 2}', "manifest.duplicate_key"),
    ],
)
async def test_an_unreadable_manifest_fails_the_load_that_its_folder_names(
    bench: Bench, manifest: bytes, code: str
) -> None:
    drop = Drop()
    drop.write(bench.root, manifest=manifest)
    await bench.notify(drop)
    load = await bench.load()
    assert load is not None
    assert (load.state, load.reported_run) == (State.FAILED, 1)
    assert await bench.failure_code() == code
    assert is_empty(await content(bench.database))
    notices = "SELECT COUNT(*) FROM notification WHERE channel = 'log'"
    assert await bench.database.fetch_value(notices) == 1


async def test_a_manifest_that_is_too_large_is_never_downloaded(bench: Bench) -> None:
    drop = Drop()
    drop.write(bench.root, manifest=b"x" * 65_537)
    await bench.notify(drop)
    row = await bench.database.fetch_one("SELECT manifest, manifest_sha256 FROM load_ledger")
    assert row == {"manifest": None, "manifest_sha256": None}


async def test_the_manifest_is_kept_byte_for_byte(bench: Bench) -> None:
    drop = Drop()
    text = json.dumps(drop.manifest(), indent=3).encode() + b"\r\n \n"
    drop.write(bench.root, manifest=text)
    await bench.notify(drop)
    assert await bench.database.fetch_value("SELECT manifest FROM load_ledger") == text


async def test_a_corrected_manifest_makes_a_new_run(bench: Bench) -> None:
    Drop(manifest_changes={"schema_version": "v0"}).write(bench.root)
    await bench.notify(Drop())
    assert await bench.failure_code() == "manifest.unknown_schema_version"
    Drop().write(bench.root)
    await bench.notify(Drop())
    load = await bench.load()
    assert load is not None
    assert (load.state, load.run) == (State.REPORTED, 2)
    assert await bench.failure_code() is None


async def test_a_folder_whose_name_is_no_load_id_leaves_a_record_and_a_notice(bench: Bench) -> None:
    drop = Drop(load_id="x" * 101)
    drop.write(bench.root)
    await bench.notify(drop)
    row = await bench.database.fetch_one("SELECT verdict, failure_code FROM arrival")
    assert row == {"verdict": "refused", "failure_code": "manifest.load_id_invalid"}
    assert await bench.database.fetch_value("SELECT outcome FROM notification") == "refused"
    assert await bench.database.fetch_value("SELECT COUNT(*) FROM load_ledger") == 0


async def test_a_manifest_that_speaks_for_another_partner_fails(bench: Bench) -> None:
    drop = Drop(manifest_changes={"source_system": "globex"})
    drop.write(bench.root)
    await bench.notify(drop)
    assert await bench.failure_code() == "manifest.partner_mismatch"


async def test_another_partners_load_id_is_refused_and_the_load_that_stands_is_untouched(
    bench: Bench,
) -> None:
    Drop().write(bench.root)
    await bench.notify(Drop())
    thief = Drop(partner="globex")
    thief.write(bench.root)
    await bench.notify(thief)
    assert await bench.verdicts() == ["taken", "refused"]
    load = await bench.load()
    assert load is not None
    assert (load.partner, load.state, load.run) == ("acme", State.REPORTED, 1)


async def test_a_load_id_that_never_had_a_good_manifest_gives_way_to_another_partner(
    bench: Bench,
) -> None:
    Drop().write(bench.root, manifest=b"{")
    await bench.notify(Drop())
    other = Drop(partner="globex")
    other.write(bench.root)
    await bench.notify(other)
    load = await bench.load()
    assert load is not None
    assert (load.partner, load.source_system, load.state) == ("globex", "globex", State.REPORTED)


async def test_two_loads_of_one_partner_cannot_have_one_created_at(bench: Bench) -> None:
    Drop().write(bench.root)
    await bench.notify(Drop())
    twin = Drop(load_id="load-2")
    twin.write(bench.root)
    await bench.notify(twin)
    assert await bench.failure_code("load-2") == "manifest.order_conflict"
    other = Drop(load_id="load-3", partner="globex")
    other.write(bench.root)
    await bench.notify(other)
    assert await bench.failure_code("load-3") is None


async def test_a_failed_loads_created_at_is_free_again(bench: Bench) -> None:
    broken = Drop()
    broken.write(bench.root)
    (bench.root / broken.prefix / "customers.csv").unlink()
    await bench.notify(broken)
    assert await bench.failure_code() == "file.missing"
    twin = Drop(load_id="load-2")
    twin.write(bench.root)
    await bench.notify(twin)
    load = await bench.load("load-2")
    assert load is not None
    assert load.state is State.REPORTED


async def in_flight(bench: Bench) -> Drop:
    """A load that is validated and held by a worker, with its manifest in the bucket."""
    drop = Drop()
    drop.write(bench.root)
    held = replace(bench.parts, bus=MemoryBus())
    manifest = await bench.manifest(drop)
    attributes = notification_of("drops", manifest.name, manifest.generation)
    message = Message(b"{}", attributes, "validator.manifest.arrived", "1", now())
    await run_stage(VALIDATOR, message, held)
    load = await bench.load()
    assert load is not None
    assert load.state is State.VALIDATED
    return drop


@pytest.mark.parametrize("same_bytes", [True, False])
async def test_a_manifest_for_a_load_in_flight_is_looked_at_again_when_its_run_ends(
    bench: Bench, same_bytes: bool
) -> None:
    drop = await in_flight(bench)
    again = drop if same_bytes else Drop(created_at=later(7))
    again.write_manifest(bench.root)
    await bench.notify(again)
    assert await bench.verdicts() == ["taken", "pending"]
    await bench.database.execute("UPDATE outbox SET published_at = NULL")
    await sweep(bench.parts)
    await bench.bus.drain()
    assert await bench.verdicts() == ["taken", "pending"]
    load = await bench.load()
    assert load is not None
    assert load.applied
    await sweep(bench.parts)
    await bench.bus.drain()
    assert await bench.verdicts() == ["taken", "history" if same_bytes else "refused"]


async def test_a_corrected_manifest_that_came_too_early_gets_its_run_when_the_first_fails(
    bench: Bench,
) -> None:
    drop = await in_flight(bench)
    (bench.root / drop.prefix / "vehicles.csv").write_bytes(b"gone")
    repaired = Drop(created_at=later(7))
    repaired.write(bench.root)
    await bench.notify(repaired)
    await bench.database.execute("UPDATE outbox SET published_at = NULL")
    await sweep(bench.parts)
    await bench.bus.drain()
    assert await bench.failure_code() == "file.changed"
    await sweep(bench.parts)
    await bench.bus.drain()
    load = await bench.load()
    assert load is not None
    assert (load.state, load.run) == (State.REPORTED, 2)


@pytest.mark.parametrize(
    "attributes",
    [
        notification_of("another", "imports/acme/load-1/manifest.json", 1),
        notification_of("drops", "exports/acme/load-1/manifest.json", 1),
        notification_of("drops", "imports/acme/a/load-1/manifest.json", 1),
        notification_of("drops", "imports/acme/load-1/customers.csv", 1),
        {**notification_of("drops", "imports/a/b/manifest.json", 1), "eventType": "OBJECT_DELETE"},
        {
            **notification_of("drops", "imports/a/b/manifest.json", 1),
            "eventType": "OBJECT_METADATA_UPDATE",
        },
    ],
)
async def test_a_notification_of_anything_else_is_acknowledged_and_ignored(
    bench: Bench, attributes: dict[str, str]
) -> None:
    await bench.bus.publish(Topic.ARRIVED, b"{}", attributes)
    await bench.bus.drain()
    assert bench.bus.dead_letters == []
    assert await bench.verdicts() == []
    assert await bench.database.fetch_value("SELECT COUNT(*) FROM load_event") == 0


@pytest.mark.parametrize(
    ("topic", "body"),
    [
        (Topic.ARRIVED, b"no json"),
        (Topic.VALIDATED, b"[]"),
        (Topic.STAGED, b'{"run": 1}'),
        (Topic.STAGED, b'{"load_id": "load-1", "event_id": "e", "event": "manifest.validated"}'),
    ],
)
async def test_what_is_no_message_of_the_stage_ends_as_a_dead_letter_and_writes_nothing(
    bench: Bench, topic: Topic, body: bytes
) -> None:
    await bench.bus.publish(topic, body, {})
    await bench.bus.drain()
    assert [letter.topic for letter in bench.bus.dead_letters] == [topic]
    assert await bench.database.fetch_value("SELECT COUNT(*) FROM load_event") == 0


async def test_a_message_for_an_unknown_load_is_recorded_and_done(bench: Bench) -> None:
    await bench.bus.publish(Topic.STAGED, b'{"load_id": "nobody-knows-it"}', {})
    await bench.bus.drain()
    assert bench.bus.dead_letters == []
    assert await bench.database.fetch_value("SELECT kind FROM load_event") == "unknown_load"
