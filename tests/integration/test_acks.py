"""What a partner finds in `acks/`: one final ack for every drop, whatever came of it."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from google.cloud.storage import Client

from crossdock.pipeline import subscribe_stages
from crossdock.stack import mysql_server
from services.reporter import acks
from services.reporter.acks import put_ack
from services.reporter.deliver import deliver_due
from services.validator.stage import STAGE as VALIDATOR
from shared.bus.memory import MemoryBus
from shared.bus.port import Answer, Message
from shared.clock import now
from shared.events import Event, Topic
from shared.gcs_notification import notification_of
from shared.mysql.connect import Database
from shared.mysql.migrate import migrate
from shared.notices import Notice
from shared.stage import Parts, run_stage
from shared.storage.directory import DirectoryStorage
from shared.storage.gcs import GcsStorage
from shared.storage.port import ObjectInfo
from shared.sweep import sweep
from tests.conftest import PROJECT
from tests.drops import ROWS, Drop, csv_bytes
from tests.loads import run

ACK, REJECTS = "ack.json", "rejects.csv"
FORMULA = '=HYPERLINK("http://x.example","y")'
LONGEST_WAIT_SECONDS = 15
WAITING_FOR_ITS_TURN = """SELECT COUNT(*) FROM performance_schema.processlist
WHERE INFO LIKE 'SELECT /* services.reporter.acks.take_turn */%' AND DB = DATABASE()"""
# Ten rows are over the limit of 1 %; fewer never are.
TOO_MANY = [{"source_customer_id": f"X{number}", "country": "too long"} for number in range(10)]
SOME = [
    {"source_customer_id": FORMULA, "country": "too long"},
    {"source_customer_id": "Zoë", "last_name": "x;=1\n+2", "country": "too long"},
]


@dataclass
class Partner:
    """A bucket as a partner sees it, and the project at its other end.

    The tests share a database; each has a partner and a load_id of its own.
    """

    parts: Parts
    name: str = field(default_factory=lambda: f"p{uuid4().hex}")
    load_id: str = field(default_factory=lambda: f"L-{uuid4().hex}")

    @property
    def acks(self) -> str:
        """Where the acks of the one load lie."""
        return f"acks/{self.name}/{self.load_id}/"

    def drop(self, customers: Sequence[dict[str, str]] = (), **facts: Any) -> Drop:
        """The sample drop with these customers after its own three."""
        drop = Drop(**{"partner": self.name, "load_id": self.load_id, **facts})
        drop.files["customers.csv"] = csv_bytes("customers", [*ROWS["customers"], *customers])
        return drop

    async def deliver(self, drop: Drop, *, manifest: bytes | None = None) -> None:
        """Upload a drop, its manifest last, and let the project take it."""
        for name, data in drop.files.items():
            await self._upload(drop.prefix + name, data)
        text = json.dumps(drop.manifest()).encode() if manifest is None else manifest
        await self._upload(drop.prefix + "manifest.json", text)
        await run(self.parts, drop)

    async def replay(self, topic: Topic) -> None:
        """What an operator does with the load, to its end."""
        bus = MemoryBus(max_attempts=3, backoff_seconds=0.01)
        parts = replace(self.parts, bus=bus)
        subscribe_stages(bus, parts, lambda _: None)
        await bus.publish(topic, Event(load_id=self.load_id).body(), {})
        await bus.drain()
        await deliver_due(parts)

    async def found(self, folder: str = "acks/") -> dict[str, bytes]:
        """The objects below a folder, by their names in it."""
        storage = self.parts.storage
        return {
            info.name.removeprefix(folder): b"".join(
                [chunk async for chunk in storage.read(info.name, info.generation)]
            )
            for info in await storage.list_objects(folder)
        }

    async def ack(self) -> dict[str, Any]:
        """The ack of the load, which always has the rejected rows beside it."""
        found = await self.found(self.acks)
        assert {ACK, REJECTS} <= set(found)
        return dict(json.loads(found[ACK]))

    async def rejects(self) -> list[dict[str, str]]:
        """The rejected rows, as a program reads them."""
        data = (await self.found(self.acks))[REJECTS]
        return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))

    def notice(self, run: int, outcome: str) -> Notice:
        """A notice of the load that comes once more, late."""
        return Notice(number=1, subject=self.load_id, run=run, outcome=outcome, attempts=1, body={})

    async def _upload(self, name: str, data: bytes) -> None:
        await self.parts.storage.write(
            name, data, content_type="application/octet-stream", overwrite=True
        )


class Held(DirectoryStorage):
    """A bucket that keeps its uploads back until it is told to let them through."""

    def __init__(self, root: Path, bucket: str) -> None:
        super().__init__(root, bucket)
        self.asked, self.let_through = asyncio.Event(), asyncio.Event()

    async def write(self, *args: Any, **options: Any) -> ObjectInfo:
        self.asked.set()
        await self.let_through.wait()
        return await super().write(*args, **options)


@pytest.fixture(scope="module")
def database_url(mysql_server_url: str) -> Iterator[str]:
    """One database for all of these tests."""
    name = f"test_{uuid4().hex[:12]}"
    url = mysql_server.create_database(mysql_server_url, name)
    asyncio.run(migrate(url))
    yield url
    mysql_server.drop_database(mysql_server_url, name)


@pytest.fixture
def partner(parts: Parts) -> Partner:
    return Partner(parts)


@pytest.fixture
def gcs(storage_emulator: str, monkeypatch: pytest.MonkeyPatch) -> GcsStorage:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage_emulator)
    bucket = f"acks-{uuid4().hex}"
    Client(project=PROJECT).create_bucket(bucket)
    return GcsStorage.connect(bucket, PROJECT)


@pytest.fixture(params=["directory", "gcs"])
async def partner_anywhere(request: pytest.FixtureRequest, parts: Parts) -> AsyncIterator[Partner]:
    storage = parts.storage if request.param == "directory" else request.getfixturevalue("gcs")
    yield Partner(replace(parts, storage=storage))
    await storage.close()


async def stored_report(database: Database, load_id: str, run: int) -> dict[str, Any]:
    text = await database.fetch_value(
        "SELECT report FROM load_report WHERE load_id = %(load_id)s AND run = %(run)s",
        {"load_id": load_id, "run": run},
    )
    return dict(json.loads(text))


async def undelivered(database: Database) -> int:
    return int(
        await database.fetch_value(
            "SELECT COUNT(*) FROM notification WHERE channel = 'ack' AND delivered_at IS NULL"
        )
    )


async def test_a_load_with_rejects_is_acknowledged_with_its_report_and_the_rows(
    partner_anywhere: Partner, database: Database
) -> None:
    await partner_anywhere.deliver(partner_anywhere.drop(SOME))
    ack = await partner_anywhere.ack()
    report = await stored_report(database, partner_anywhere.load_id, 1)
    for_operators = {"applied_run", "rejected_rows"}
    assert {**ack, **{key: report[key] for key in report.keys() - for_operators}} == ack
    assert not for_operators & ack.keys()
    assert (ack["state"], ack["reconciled"]) == ("reported", True)
    assert ack["rejects"] == {"rejected": 2, "listed": 2}
    formula, text = await partner_anywhere.rejects()
    assert text == {
        "file": "customers.csv",
        "row": "5",
        "column": "country",
        "code": "row.too_long",
        "message": text["message"],
        "raw": "Zoë,,\"x;'=1\n'+2\",,,,,,,,,too long",
    }
    assert formula["raw"] == "'\"" + FORMULA.replace('"', '""') + '",,,,,,,,,,,too long'
    assert await undelivered(database) == 0


async def test_a_corrected_drop_takes_the_place_of_the_one_that_failed(
    partner_anywhere: Partner,
) -> None:
    await partner_anywhere.deliver(partner_anywhere.drop(TOO_MANY))
    failed = await partner_anywhere.ack()
    assert (failed["state"], failed["failure"]["code"]) == ("failed", "rejects.over_limit")
    assert REJECTS in failed["failure"]["remedy"]
    assert failed["rejects"] == {"rejected": 10, "listed": 10}
    assert [row["row"] for row in await partner_anywhere.rejects()] == [
        str(number) for number in range(4, 14)
    ]

    await partner_anywhere.deliver(partner_anywhere.drop())
    corrected = await partner_anywhere.ack()
    assert (corrected["run"], corrected["state"], corrected["failure"]) == (2, "reported", None)
    assert corrected["manifest"]["generation"] != failed["manifest"]["generation"]
    assert await partner_anywhere.rejects() == []


async def test_other_bytes_under_an_applied_load_are_refused_beside_its_ack(
    partner_anywhere: Partner,
) -> None:
    await partner_anywhere.deliver(partner_anywhere.drop())
    before = await partner_anywhere.found(partner_anywhere.acks)
    await partner_anywhere.deliver(partner_anywhere.drop(SOME))
    after = await partner_anywhere.found(partner_anywhere.acks)
    (name,) = set(after) - set(before)
    refusal = json.loads(after.pop(name))
    assert name == f"refused-{refusal['manifest']['generation']}.json"
    assert (refusal["state"], refusal["load_id"]) == ("refused", partner_anywhere.load_id)
    assert refusal["failure"]["code"] == "manifest.load_id_reused"
    assert after == before


async def test_an_unreadable_manifest_is_acknowledged_in_the_folder_that_it_lay_in(
    partner: Partner,
) -> None:
    await partner.deliver(partner.drop(), manifest=b"{")
    ack = await partner.ack()
    assert (ack["load_id"], ack["state"]) == (partner.load_id, "failed")
    assert ack["failure"]["code"] == "manifest.invalid_json"
    assert ack["rejects"] == {"rejected": None, "listed": 0}
    assert await partner.rejects() == []


async def test_a_partner_learns_nothing_of_the_one_who_has_the_load_id(partner: Partner) -> None:
    await partner.deliver(partner.drop(partner="secretive"))
    await partner.deliver(partner.drop())
    ((name, data),) = (await partner.found(partner.acks)).items()
    assert name.startswith("refused-")
    assert b"manifest.load_id_reused" in data
    assert b"secretive" not in data


async def test_a_folder_that_can_be_no_loads_has_its_refusal_below_acks(partner: Partner) -> None:
    await partner.deliver(partner.drop(load_id="..a b"))
    ((name, data),) = (await partner.found()).items()
    assert name.startswith(f"{partner.name}/%2E%2Ea%20b/refused-")
    assert json.loads(data)["load_id"] == "..a b"


async def test_an_unusable_load_id_that_another_partner_gets_leaves_each_its_ack(
    partner: Partner,
) -> None:
    await partner.deliver(partner.drop(partner="hasty"), manifest=b"{")
    hasty = await partner.found("acks/hasty/")
    await partner.deliver(partner.drop())
    await put_ack(partner.notice(1, "failed"), partner.parts)
    assert await partner.found("acks/hasty/") == hasty
    assert (await partner.ack())["run"] == 2


async def test_no_replay_of_an_applied_load_changes_its_ack(
    partner: Partner, bucket_dir: Path, database: Database
) -> None:
    await partner.deliver(partner.drop(SOME))
    before = await partner.found()
    await partner.replay(Topic.STAGED)
    assert (await stored_report(database, partner.load_id, 2))["reconciled"]
    assert await partner.found() == before

    (bucket_dir / partner.drop().prefix / "customers.csv").write_bytes(b"something else")
    await partner.replay(Topic.ARRIVED)
    assert (await stored_report(database, partner.load_id, 3))["failure"] is not None
    assert await partner.found() == before
    assert await undelivered(database) == 0


async def test_a_slow_worker_never_puts_an_older_ack_over_a_newer_one(
    partner: Partner, bucket_dir: Path, database: Database
) -> None:
    await partner.deliver(partner.drop(TOO_MANY))
    slow = Held(bucket_dir, "drops")
    older = asyncio.create_task(
        put_ack(partner.notice(1, "failed"), replace(partner.parts, storage=slow))
    )
    async with asyncio.timeout(LONGEST_WAIT_SECONDS):
        await slow.asked.wait()
        newer = asyncio.create_task(partner.deliver(partner.drop()))
        while not newer.done():
            if await database.fetch_value(WAITING_FOR_ITS_TURN):
                break
            await asyncio.sleep(0.02)
        slow.let_through.set()
        await asyncio.gather(older, newer)
    assert (await partner.ack())["run"] == 2
    assert await partner.rejects() == []


async def test_an_ack_that_was_lost_is_put_back_rows_first(
    partner: Partner, bucket_dir: Path
) -> None:
    await partner.deliver(partner.drop(SOME))
    before = await partner.found()
    files = [bucket_dir / partner.acks / name for name in (REJECTS, ACK)]
    for file in files:
        file.unlink()
    await partner.replay(Topic.UPSERTED)
    assert await partner.found() == before
    rows, ack = [file.stat().st_mtime_ns for file in files]
    assert rows < ack


async def test_a_failure_that_is_told_again_keeps_its_rows(partner: Partner) -> None:
    await partner.deliver(partner.drop(TOO_MANY))
    before = await partner.found()
    await partner.replay(Topic.UPSERTED)
    assert await partner.found() == before


async def test_notices_that_come_late_or_twice_or_at_once_change_nothing(partner: Partner) -> None:
    await partner.deliver(partner.drop(TOO_MANY))
    await partner.deliver(partner.drop())
    told = await partner.found()
    for _ in range(2):
        await put_ack(partner.notice(1, "failed"), partner.parts)
        assert await partner.found() == told
    late = [partner.notice(run, outcome) for run, outcome in ((1, "failed"), (2, "reported"))]
    await asyncio.gather(*(put_ack(one, partner.parts) for one in late * 3))
    assert await partner.found() == told


async def test_an_ack_says_so_when_not_every_row_is_listed(
    partner: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acks, "MOST_REJECTS_BYTES", 4_000)
    many = [{"source_customer_id": f"X{number}", "country": "long"} for number in range(50)]
    await partner.deliver(partner.drop(many))
    listed = await partner.rejects()
    assert 0 < len(listed) < 50
    assert (await partner.ack())["rejects"] == {"rejected": 50, "listed": len(listed)}
    assert [row["row"] for row in listed] == [str(4 + at) for at in range(len(listed))]


async def test_a_folder_of_this_machine_gets_no_ack_and_none_waits(
    partner: Partner, tmp_path: Path, database: Database
) -> None:
    drop = partner.drop()
    folder = drop.write(tmp_path)
    before = sorted(folder.iterdir())
    storage = DirectoryStorage.mounting(folder, drop.prefix, bucket="file://here/drop")
    await run(replace(partner.parts, storage=storage), drop)
    assert (await stored_report(database, partner.load_id, 1))["reconciled"]
    assert sorted(folder.iterdir()) == before
    assert await undelivered(database) == 0


async def test_no_ack_is_taken_for_a_drop(partner: Partner, database: Database) -> None:
    count_arrivals = "SELECT COUNT(*) FROM arrival"
    before = await database.fetch_value(count_arrivals)
    for name in (ACK, REJECTS, "manifest.json"):
        written = await partner.parts.storage.write(
            partner.acks + name, b"{}", content_type="application/json"
        )
        attributes = notification_of("drops", written.name, written.generation)
        message = Message(b"{}", attributes, "test", name, now())
        assert await run_stage(VALIDATOR, message, partner.parts) is Answer.DONE
    assert (await sweep(partner.parts)).noticed == 0
    assert await database.fetch_value(count_arrivals) == before
