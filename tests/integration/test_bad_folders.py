"""What only the bucket and the ledger know: folders, objects, names and times of other loads."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from crossdock.offline_check import check
from crossdock.pipeline import Ending, subscribe_stages
from services.validator.stage import STAGE as VALIDATOR
from shared.bus.memory import MemoryBus
from shared.bus.port import Message
from shared.clock import now
from shared.errors import TransientFault
from shared.events import Topic
from shared.gcs_notification import notification_of
from shared.stage import Parts, run_stage
from shared.storage.directory import DirectoryStorage
from shared.storage.port import ObjectInfo
from tests.drops import Drop, later
from tests.loads import arrival, report, run
from tests.production import content, is_empty
from tests.verdicts import Bench, Outcome, assert_accepted, assert_rejected, open_bench, take_all


@pytest.fixture
async def bench(mysql_server_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(mysql_server_url, tmp_path) as opened:
        yield opened


UNEXPECTED = {  # load_id: an object's name, the failure's file, how the message shows it
    "note": ("notes.txt", "notes.txt", "'notes.txt'"),
    "capital": ("Customers.csv", "Customers.csv", "'Customers.csv'"),
    "backup": ("manifest.json.bak", "manifest.json.bak", "'manifest.json.bak'"),
    "hidden": (".DS_Store", ".DS_Store", "'.DS_Store'"),
    "nested": ("archive/customers.csv", "archive/customers.csv", "'archive/customers.csv'"),
    "line-break": ("line\nbreak", None, r"'line\nbreak'"),
    "look-alike": ("сustomers.csv", None, r"'\u0441ustomers.csv'"),  # noqa: RUF001
    "long": ("x" * 150, None, "'xxx"),
}


@pytest.fixture(scope="module")
def outcomes(mysql_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    root = tmp_path_factory.mktemp("bucket")
    drops: list[tuple[Drop, bytes | None]] = []
    for load_id, (name, _, _) in UNEXPECTED.items():
        drop = Drop(load_id=load_id, partner=load_id)
        (root / drop.prefix / name).parent.mkdir(parents=True)
        drop.files[name] = b""
        drops.append((drop, None))
    drop = Drop(load_id="missing", partner="missing")
    manifest = json.dumps(drop.manifest()).encode()
    del drop.files["vehicles.csv"], drop.files["line_items.csv"]
    return take_all(mysql_server_url, root, [*drops, (drop, manifest)])


def test_a_listed_file_that_is_not_there_is_named(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["missing"]
    assert_rejected(outcome, "file.missing")
    assert outcome.failure["file"] == "vehicles.csv"
    assert "vehicles.csv, line_items.csv" in outcome.failure["message"]
    assert outcome.offline_failure == outcome.failure


@pytest.mark.parametrize("load_id", UNEXPECTED)
def test_an_object_that_the_manifest_does_not_list_fails_the_whole_drop(
    load_id: str, outcomes: dict[str, Outcome]
) -> None:
    outcome = outcomes[load_id]
    _, file, shown = UNEXPECTED[load_id]
    assert_rejected(outcome, "file.unexpected")
    assert outcome.failure["file"] == file
    assert shown in outcome.failure["message"]
    assert outcome.offline_failure == outcome.failure


class Shown(DirectoryStorage):
    """A bucket that tells more of its objects than a folder can."""

    encoding: str | None = None
    folder_object: str | None = None

    async def list_objects(self, prefix: str, *, most: int | None = None) -> list[ObjectInfo]:
        found = await super().list_objects(prefix, most=most)
        found = [
            replace(item, content_encoding=self.encoding)
            if item.name.endswith("invoices.csv")
            else item
            for item in found
        ]
        return [*found, ObjectInfo(self.folder_object, 1, 0)] if self.folder_object else found


async def test_a_content_encoding_is_refused_and_the_consoles_folder_object_is_no_file(
    bench: Bench,
) -> None:
    storage = Shown(bench.root, "drops")
    bench = replace(bench, parts=replace(bench.parts, storage=storage))
    storage.encoding = "gzip"
    outcome = await bench.take(Drop())
    assert_rejected(outcome, "file.content_encoding")
    assert outcome.failure["file"] == "invoices.csv"
    assert "'gzip'" in outcome.failure["message"]
    other = Drop(load_id="load-2", partner="globex")
    storage.encoding, storage.folder_object = None, other.prefix
    assert_accepted(await bench.take(other))


class Breaking(DirectoryStorage):
    """A bucket whose reads of one file break off, before the first byte or after some of them."""

    breaks = 2

    async def read(self, name: str, generation: int) -> AsyncIterator[bytes]:
        async for chunk in super().read(name, generation):
            if name.endswith("vehicles.csv") and self.breaks:
                self.breaks -= 1
                yield chunk[:100]
                raise TransientFault("the connection was reset")
            yield chunk


async def test_a_read_that_breaks_is_tried_again_and_never_blamed_on_the_partner(
    bench: Bench,
) -> None:
    settings = bench.parts.settings.model_copy(update={"attempts_before_attention": 10})
    storage = Breaking(bench.root, "drops")
    ledger = type(bench.parts.ledger)(settings)
    parts = replace(bench.parts, settings=settings, storage=storage, ledger=ledger)
    outcome = await replace(bench, parts=parts).take(Drop())
    assert_accepted(outcome)
    assert (storage.breaks, outcome.report["run"]) == (0, 1)
    kinds = await bench.database.fetch_all("SELECT kind FROM load_event WHERE kind = 'postponed'")
    assert len(kinds) == 2


async def validated(parts: Parts, drop: Drop) -> None:
    found = await arrival(parts, drop)
    attributes = notification_of(found.bucket, found.object_name, found.generation)
    message = Message(b"{}", attributes, "validator.manifest.arrived", "1", now())
    await run_stage(VALIDATOR, message, replace(parts, bus=MemoryBus()))


@pytest.mark.parametrize("replacement", [b"other bytes", None])
async def test_a_file_that_is_replaced_after_validation_is_never_loaded(
    bench: Bench, replacement: bytes | None
) -> None:
    drop = Drop()
    drop.write(bench.root)
    await validated(bench.parts, drop)
    path = bench.root / drop.prefix / "invoices.csv"
    if replacement is None:
        path.unlink()
    else:
        path.write_bytes(drop.files["invoices.csv"].replace(b"EUR", b"USD"))
    bus = MemoryBus()
    parts = replace(bench.parts, bus=bus)
    subscribe_stages(bus, parts, lambda _: None)
    await bench.database.execute("UPDATE outbox SET published_at = NULL")
    await run(parts, drop)
    failure = (await report(bench.database))["failure"]
    assert (failure["code"], failure["file"]) == ("file.changed", "invoices.csv")
    assert is_empty(await content(bench.database))


class Swapping(DirectoryStorage):
    """A bucket in which a file is replaced between its first chunk and its end."""

    at: Path
    times = 1

    async def read(self, name: str, generation: int) -> AsyncIterator[bytes]:
        async for chunk in super().read(name, generation):
            yield chunk
            if name.endswith("customers.csv") and self.times:
                self.times -= 1
                with self.at.open("r+b") as file:
                    file.seek(0, 2)
                    file.write(b"Z,added while it was read,,,,,,,,,,\n")


async def test_a_file_that_changes_while_it_is_read_is_not_taken(bench: Bench) -> None:
    drop = Drop()
    storage = Swapping(bench.root, "drops")
    storage.at = bench.root / drop.prefix / "customers.csv"
    outcome = await replace(bench, parts=replace(bench.parts, storage=storage)).take(drop)
    assert outcome.failure["code"] in {"file.changed", "file.checksum_mismatch"}
    assert_rejected(outcome, outcome.failure["code"])


FOLDERS = {  # a folder that can be no load's: why
    **dict.fromkeys(
        (
            *("imports/acme/lo\nad/", 'imports/acme/lo"ad/', "imports/acme/load-１/"),  # noqa: RUF001
            *("imports/acme/-load/", f"imports/acme/{'x' * 101}/", "imports/acme/lo ad/"),
            *("imports/acme/%2e%2e/", "imports/acme/é/"),
        ),
        "manifest.load_id_invalid",
    ),
    **dict.fromkeys(
        (
            *("imports/ac me/load-1/", "imports/ac\nme/load-1/", "imports/é/load-1/"),
            f"imports/{'p' * 101}/load-1/",
        ),
        "partner.unknown",
    ),
}


async def test_a_folder_that_can_be_no_loads_leaves_a_record_a_notice_and_nothing_else(
    bench: Bench,
) -> None:
    bus = MemoryBus()
    subscribe_stages(bus, replace(bench.parts, bus=bus), lambda _: None)
    for folder in FOLDERS:
        _, partner, load_id, _ = folder.split("/")
        drop = Drop(load_id=load_id, partner=partner)
        drop.write(bench.root)
        found = await arrival(bench.parts, drop)
        for _ in range(2):
            attributes = notification_of(found.bucket, found.object_name, found.generation)
            await bus.publish(Topic.ARRIVED, b"{}", attributes)
    await bus.drain()
    assert bus.dead_letters == []
    rows = await bench.database.fetch_all("SELECT object, verdict, failure_code FROM arrival")
    codes = {row["object"].removesuffix("manifest.json"): row["failure_code"] for row in rows}
    assert codes == FOLDERS
    assert {row["verdict"] for row in rows} == {"refused"}
    notices = await bench.database.fetch_all("SELECT subject, channel, outcome FROM notification")
    subjects = {row["subject"] for row in notices}
    assert subjects == {f"{folder}manifest.json" for folder in FOLDERS}
    assert len({(row["subject"], row["channel"]) for row in notices}) == len(notices)
    assert {row["outcome"] for row in notices} == {"refused"}
    assert await bench.database.fetch_value("SELECT COUNT(*) FROM load_ledger") == 0
    assert is_empty(await content(bench.database))


async def test_a_run_of_a_folder_that_can_be_no_loads_is_refused(bench: Bench) -> None:
    for load_id in ("lo ad", "é"):
        drop = Drop(load_id=load_id)
        drop.write(bench.root)
        assert (await run(bench.parts, drop)).ending is Ending.REFUSED
    codes = await bench.database.fetch_all("SELECT failure_code FROM arrival")
    assert [row["failure_code"] for row in codes] == ["manifest.load_id_invalid"] * 2


async def test_the_offline_check_judges_the_folder_first_as_the_validator_does(
    bench: Bench,
) -> None:
    bus = MemoryBus()
    subscribe_stages(bus, replace(bench.parts, bus=bus), lambda _: None)
    told, offline = {}, {}
    for folder in FOLDERS:
        _, partner, load_id, _ = folder.split("/")
        drop = Drop(load_id=load_id, partner=partner)
        at = drop.write(bench.root, manifest=b"{")
        found = await arrival(bench.parts, drop)
        attributes = notification_of(found.bucket, found.object_name, found.generation)
        await bus.publish(Topic.ARRIVED, b"{}", attributes)
        await bus.drain()
        told[folder] = await bench.database.fetch_value(
            "SELECT failure_code FROM arrival WHERE object = %(object)s",
            {"object": found.object_name},
        )
        checked = await asyncio.to_thread(
            check, at, partner=None, partners=bench.parts.partners, now=now()
        )
        offline[folder] = checked.failure and checked.failure.code
    assert told == FOLDERS
    assert offline == told


REUSED = (  # what comes under the load_id of an applied load
    json.dumps(Drop(created_at=later(1)).manifest()).encode(),
    json.dumps(Drop(manifest_changes={"source_system": "globex"}).manifest()).encode(),
    b"{",
    b" " * 65_537,
)


async def test_whatever_comes_under_an_applied_loads_id_is_refused_once_and_the_load_stands(
    bench: Bench,
) -> None:
    drop = Drop()
    first = await bench.take(drop)
    row = "SELECT * FROM load_ledger"
    before = await bench.database.fetch_all(row)
    bus = MemoryBus()
    subscribe_stages(bus, replace(bench.parts, bus=bus), lambda _: None)
    for manifest in REUSED:
        drop.write_manifest(bench.root, manifest)
        found = await arrival(bench.parts, drop)
        for _ in range(2):
            attributes = notification_of(found.bucket, found.object_name, found.generation)
            await bus.publish(Topic.ARRIVED, b"{}", attributes)
        await bus.drain()
    refused = await bench.database.fetch_all(
        "SELECT failure_code FROM arrival WHERE verdict = 'refused'"
    )
    assert [row["failure_code"] for row in refused] == ["manifest.load_id_reused"] * len(REUSED)
    notices = await bench.database.fetch_all(
        "SELECT subject, run, channel FROM notification WHERE outcome = 'refused'"
    )
    assert len({(row["subject"], row["run"]) for row in notices}) == len(REUSED)
    assert len({tuple(row.values()) for row in notices}) == len(notices)
    assert await bench.database.fetch_all(row) == before
    assert await bench.standing(drop.partner) == first.standing
    assert await report(bench.database) == first.report
