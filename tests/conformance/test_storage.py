"""What every storage promises, on a folder and on the storage emulator."""

import asyncio
import hashlib
import os
import tracemalloc
from contextlib import aclosing
from pathlib import Path

import pytest

from shared.errors import ObjectExists, ObjectGone, TransientFault
from shared.storage.gcs import WINDOW_BYTES
from shared.storage.port import CHUNK_BYTES, Storage

MEBIBYTE = 1024 * 1024
LARGER_THAN_A_WINDOW = WINDOW_BYTES * 2 + 4321


async def put(storage: Storage, name: str, data: bytes, *, overwrite: bool = False) -> int:
    info = await storage.write(name, data, content_type="text/csv", overwrite=overwrite)
    return info.generation


async def content(storage: Storage, name: str, generation: int) -> bytes:
    return b"".join([chunk async for chunk in storage.read(name, generation)])


async def test_an_object_is_read_back_byte_for_byte_in_bounded_chunks(storage: Storage) -> None:
    data = os.urandom(3 * CHUNK_BYTES + 7)
    generation = await put(storage, "imports/p/l/customers.csv", data)
    chunks = [chunk async for chunk in storage.read("imports/p/l/customers.csv", generation)]
    assert b"".join(chunks) == data
    assert max(map(len, chunks)) <= CHUNK_BYTES


async def test_an_empty_object_exists_and_reads_as_nothing(storage: Storage) -> None:
    generation = await put(storage, "imports/p/l/empty.csv", b"")
    info = await storage.stat("imports/p/l/empty.csv")
    assert info is not None
    assert (info.size_bytes, info.generation) == (0, generation)
    assert await content(storage, "imports/p/l/empty.csv", generation) == b""


async def test_what_is_not_there_is_none_to_stat_and_gone_to_read(storage: Storage) -> None:
    assert await storage.stat("imports/p/l/absent.csv") is None
    with pytest.raises(ObjectGone, match=r"absent\.csv"):
        await content(storage, "imports/p/l/absent.csv", 1)


async def test_listing_gives_the_names_under_a_prefix_in_order(storage: Storage) -> None:
    for name in ("imports/p/l2/b", "imports/p/l/b", "imports/p/l/a/deep", "imports/q/a", "acks/a"):
        await put(storage, name, name.encode())
    listed = await storage.list_objects("imports/p/l")
    assert [info.name for info in listed] == [
        "imports/p/l/a/deep",
        "imports/p/l/b",
        "imports/p/l2/b",
    ]
    assert [info.size_bytes for info in listed] == [len(info.name) for info in listed]
    assert listed[1] == await storage.stat("imports/p/l/b")
    assert [info.name for info in await storage.list_objects("imports/p/l/")] == [
        "imports/p/l/a/deep",
        "imports/p/l/b",
    ]
    assert await storage.list_objects("imports/nobody/") == []


async def test_a_listing_may_be_cut_after_its_first_names(storage: Storage) -> None:
    for name in ("imports/p/l/b", "imports/p/l/a", "imports/p/l/c", "imports/o/l/a"):
        await put(storage, name, b"x")

    cut = await storage.list_objects("imports/p/l/", most=2)

    assert [info.name for info in cut] == ["imports/p/l/a", "imports/p/l/b"]
    assert len(await storage.list_objects("imports/p/l/", most=4)) == 3


async def test_a_name_may_hold_any_letter(storage: Storage) -> None:
    name = "imports/p/l/ü ?#%2F+&=\\'\"é.csv"
    generation = await put(storage, name, b"x")
    assert await content(storage, name, generation) == b"x"
    assert [info.name for info in await storage.list_objects("imports/p/l/ü")] == [name]


async def test_a_taken_name_is_not_written_over_unless_told(storage: Storage) -> None:
    first = await put(storage, "acks/p/l/ack.json", b"first")
    with pytest.raises(ObjectExists, match=r"ack\.json"):
        await put(storage, "acks/p/l/ack.json", b"second")
    assert await content(storage, "acks/p/l/ack.json", first) == b"first"


async def test_a_taken_name_is_not_written_over_by_a_large_file(
    storage: Storage, tmp_path: Path
) -> None:
    source = tmp_path / "large.csv"
    source.write_bytes(bytes(WINDOW_BYTES + 1))
    first = await put(storage, "imports/p/l/customers.csv", b"first")
    with pytest.raises(ObjectExists):
        await storage.write("imports/p/l/customers.csv", source, content_type="text/csv")
    assert await content(storage, "imports/p/l/customers.csv", first) == b"first"


async def test_of_several_writers_at_once_one_creates_the_object(storage: Storage) -> None:
    payloads = [f"writer {number}".encode() for number in range(5)]
    outcomes = await asyncio.gather(
        *(put(storage, "acks/p/l/ack.json", payload) for payload in payloads),
        return_exceptions=True,
    )
    winners = [at for at, outcome in enumerate(outcomes) if isinstance(outcome, int)]
    losers = [outcome for outcome in outcomes if isinstance(outcome, ObjectExists)]
    assert (len(winners), len(losers)) == (1, 4), outcomes
    info = await storage.stat("acks/p/l/ack.json")
    assert info is not None
    assert await content(storage, info.name, info.generation) == payloads[winners[0]]


async def test_an_overwrite_is_another_generation_and_the_old_one_is_gone(storage: Storage) -> None:
    name = "imports/p/l/customers.csv"
    old = await put(storage, name, b"old")
    new = await put(storage, name, b"new", overwrite=True)
    assert new != old
    with pytest.raises(ObjectGone):
        await content(storage, name, old)
    assert await content(storage, name, new) == b"new"


async def test_a_generation_fits_a_positive_bigint(storage: Storage) -> None:
    assert 0 < await put(storage, "imports/p/l/customers.csv", b"x") < 2**63


async def test_a_read_never_mixes_in_bytes_of_a_later_generation(storage: Storage) -> None:
    name, old = "imports/p/l/customers.csv", b"o" * LARGER_THAN_A_WINDOW
    generation = await put(storage, name, old)
    seen = b""
    try:
        async for chunk in storage.read(name, generation):
            if not seen:
                await put(storage, name, b"n" * LARGER_THAN_A_WINDOW, overwrite=True)
            seen += chunk
    except ObjectGone:
        assert old.startswith(seen)
    else:
        assert seen == old


async def test_a_large_file_goes_in_and_out_in_bounded_memory(
    storage: Storage, tmp_path: Path
) -> None:
    source, piece = tmp_path / "large.csv", os.urandom(MEBIBYTE)
    with source.open("wb") as file:
        for _ in range(48):
            file.write(piece)
    sent, received = hashlib.sha256(source.read_bytes()).hexdigest(), hashlib.sha256()
    tracemalloc.start()
    try:
        info = await storage.write("imports/p/l/large.csv", source, content_type="text/csv")
        async for chunk in storage.read(info.name, info.generation):
            received.update(chunk)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert received.hexdigest() == sent
    assert info.size_bytes == 48 * MEBIBYTE
    assert peak_bytes < 4 * WINDOW_BYTES


async def test_a_read_that_is_given_up_leaves_the_object_readable(storage: Storage) -> None:
    generation = await put(storage, "imports/p/l/customers.csv", bytes(4 * CHUNK_BYTES))
    async with aclosing(storage.read("imports/p/l/customers.csv", generation)) as chunks:  # type: ignore[type-var]
        assert len(await anext(chunks)) == CHUNK_BYTES
    assert len(await content(storage, "imports/p/l/customers.csv", generation)) == 4 * CHUNK_BYTES


async def test_a_source_file_that_is_not_there_writes_nothing(
    storage: Storage, tmp_path: Path
) -> None:
    with pytest.raises(TransientFault, match=r"absent\.csv"):
        await storage.write("imports/p/l/a.csv", tmp_path / "absent.csv", content_type="text/csv")
    assert await storage.list_objects("") == []
