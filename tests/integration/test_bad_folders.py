"""What a bucket may do that the storage emulator does not, and folders that are no drops."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from crossdock.pipeline import Ending
from shared.errors import TransientFault
from shared.storage.directory import DirectoryStorage
from shared.storage.port import ObjectInfo
from tests.drops import Drop
from tests.loads import run
from tests.verdicts import Bench, assert_accepted, assert_rejected, open_bench


@pytest.fixture
async def bench(mysql_server_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(mysql_server_url, tmp_path) as opened:
        yield opened


class Shown(DirectoryStorage):
    """A bucket that tells of an object that a folder cannot hold, nor the storage emulator."""

    folder_object: str

    async def list_objects(self, prefix: str, *, most: int | None = None) -> list[ObjectInfo]:
        found = await super().list_objects(prefix, most=most)
        return [*found, ObjectInfo(self.folder_object, 1, 0)]


async def test_the_consoles_folder_object_is_no_file_of_the_drop(bench: Bench) -> None:
    storage = Shown(bench.root, "drops")
    drop = Drop()
    storage.folder_object = drop.prefix
    bench = replace(bench, parts=replace(bench.parts, storage=storage))
    assert_accepted(await bench.take(drop))


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


async def test_a_run_of_a_folder_that_can_be_no_loads_is_refused(bench: Bench) -> None:
    for load_id in ("lo ad", "é"):
        drop = Drop(load_id=load_id)
        drop.write(bench.root)
        assert (await run(bench.parts, drop)).ending is Ending.REFUSED
    codes = await bench.database.fetch_all("SELECT failure_code FROM arrival")
    assert [row["failure_code"] for row in codes] == ["manifest.load_id_invalid"] * 2
