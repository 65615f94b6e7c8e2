"""What the folder adds to the promises of every storage: names, links, changes in place."""

import asyncio
import os
from pathlib import Path

import pytest

from shared.errors import ObjectExists, ObjectGone, TransientFault
from shared.storage.directory import DirectoryStorage, generation_of
from shared.storage.port import CHUNK_BYTES
from tests.conformance.test_storage import content, put


@pytest.mark.parametrize(
    "name",
    ["", ".", "/", "../outside", "a/../../outside", "/etc/passwd", "a//b", "a/", "a\0b", "\ud800"],
)
async def test_a_name_that_leads_out_of_the_folder_names_nothing(
    directory: DirectoryStorage, tmp_path: Path, name: str
) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    assert await directory.stat(name) is None
    with pytest.raises(ObjectGone):
        await content(directory, name, generation_of((tmp_path / "outside").stat()))
    with pytest.raises(ValueError, match="cannot be the name of a file"):
        await put(directory, name, b"overwritten", overwrite=True)
    assert (tmp_path / "outside").read_bytes() == b"secret"


async def test_a_link_that_leads_out_of_the_folder_names_nothing(
    directory: DirectoryStorage, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (tmp_path / "bucket" / "file").symlink_to(outside / "secret")
    (tmp_path / "bucket" / "folder").symlink_to(outside)
    generation = generation_of((outside / "secret").stat())
    assert await directory.list_objects("") == []
    for name in ("file", "folder/secret"):
        assert await directory.stat(name) is None
        with pytest.raises(ObjectGone):
            await content(directory, name, generation)
        with pytest.raises(ValueError, match="cannot be the name of a file"):
            await put(directory, name, b"overwritten", overwrite=True)
    assert (outside / "secret").read_bytes() == b"secret"


async def test_a_link_to_a_file_of_the_same_folder_is_an_object(
    directory: DirectoryStorage, tmp_path: Path
) -> None:
    await put(directory, "target.csv", b"x")
    (tmp_path / "bucket" / "link.csv").symlink_to("target.csv")
    link, target = await directory.list_objects("")
    assert (link.name, link.generation) == ("link.csv", target.generation)
    assert await content(directory, "link.csv", link.generation) == b"x"


async def test_a_pipe_is_no_object_and_nobody_waits_for_it(
    directory: DirectoryStorage, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "bucket" / "pipe")
    assert await directory.list_objects("") == []
    async with asyncio.timeout(5):
        with pytest.raises(ObjectGone):
            await content(directory, "pipe", generation_of((tmp_path / "bucket" / "pipe").stat()))


@pytest.mark.parametrize("change", [b"cut short", b"n" * (4 * CHUNK_BYTES)], ids=["cut", "changed"])
async def test_a_file_that_is_changed_in_place_while_it_is_read_is_gone(
    directory: DirectoryStorage, tmp_path: Path, change: bytes
) -> None:
    generation = await put(directory, "customers.csv", b"o" * (4 * CHUNK_BYTES))
    chunks = directory.read("customers.csv", generation)
    await anext(chunks)
    (tmp_path / "bucket" / "customers.csv").write_bytes(change)
    with pytest.raises(ObjectGone):
        [chunk async for chunk in chunks]


async def test_overwrites_within_one_tick_of_the_clock_are_generations_of_their_own(
    directory: DirectoryStorage,
) -> None:
    generations = [
        await put(directory, "customers.csv", b"same size", overwrite=True) for _ in range(50)
    ]
    assert len(set(generations)) == 50


async def test_a_later_change_is_a_greater_generation(
    directory: DirectoryStorage, tmp_path: Path
) -> None:
    await put(directory, "customers.csv", b"x")
    generations = []
    for changed_at_ms in (1_700_000_000_000, 1_700_000_000_002, 1_900_000_000_000):
        changed_at_ns = changed_at_ms * 1_000_000
        os.utime(tmp_path / "bucket" / "customers.csv", ns=(changed_at_ns, changed_at_ns))
        generations += [info.generation for info in await directory.list_objects("")]
    assert generations == sorted(generations)
    assert len(set(generations)) == 3


@pytest.mark.parametrize("changed_at_ns", [-(10**18), 0, 1, 2**63 - 1 - 10**9])
async def test_any_time_of_change_gives_a_generation_above_zero(
    directory: DirectoryStorage, tmp_path: Path, changed_at_ns: int
) -> None:
    await put(directory, "customers.csv", b"x")
    os.utime(tmp_path / "bucket" / "customers.csv", ns=(changed_at_ns, changed_at_ns))
    (info,) = await directory.list_objects("")
    assert 0 < info.generation < 2**63
    assert await content(directory, "customers.csv", info.generation) == b"x"


async def test_a_write_that_fails_leaves_nothing_behind(
    directory: DirectoryStorage, tmp_path: Path
) -> None:
    await put(directory, "taken", b"x")
    with pytest.raises(ObjectExists):
        await put(directory, "taken", b"y")
    with pytest.raises(TransientFault):
        await put(directory, "taken/below-a-file", b"y")
    files = [path for path in (tmp_path / "bucket").rglob("*") if path.is_file()]
    assert files == [tmp_path / "bucket" / "taken"]


async def test_what_a_killed_writer_left_unfinished_is_no_object(
    directory: DirectoryStorage, tmp_path: Path
) -> None:
    await put(directory, "customers.csv", b"x")
    (folder,) = (path for path in (tmp_path / "bucket").iterdir() if path.is_dir())
    (folder / "half").write_bytes(b"half a fi")
    assert [info.name for info in await directory.list_objects("")] == ["customers.csv"]
    assert await directory.stat(f"{folder.name}/half") is None


async def test_a_folder_that_is_not_there_is_not_an_empty_bucket(tmp_path: Path) -> None:
    absent = DirectoryStorage(tmp_path / "absent", "conformance")
    with pytest.raises(TransientFault, match="absent"):
        await absent.list_objects("")


async def test_a_mounted_folder_reads_as_a_drop_and_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "customers.csv").write_bytes(b"a,b\n")
    drop = DirectoryStorage.mounting(tmp_path, "imports/acme/load-1/")
    for prefix in ("", "imports/", "imports/acme/load-1/", "imports/acme/load-1/cust"):
        (info,) = await drop.list_objects(prefix)
        assert info.name == "imports/acme/load-1/customers.csv"
        assert await drop.stat(info.name) == info
        assert await content(drop, info.name, info.generation) == b"a,b\n"
    assert await drop.list_objects("imports/acme/load-2/") == []
    assert await drop.stat("customers.csv") is None
    assert await drop.stat("imports/acme/load-1/../customers.csv") is None
    for name in ("acks/acme/load-1/ack.json", "imports/acme/load-1/more.csv"):
        with pytest.raises(PermissionError, match="only read"):
            await put(drop, name, b"x")
    assert list(os.walk(tmp_path)) == [(str(tmp_path), [], ["customers.csv"])]
