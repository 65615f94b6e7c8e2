"""What the stager sends of a file: every row once, in runs that are in the order of the hashes."""

import hashlib
from collections.abc import AsyncIterator, Iterable
from itertools import pairwise

import pytest

from services.stager import stream
from services.stager.stream import CanonicalStream, PinnedFile
from shared.contracts.model import contract_of
from shared.identity import hashed_id

INVOICES = contract_of("v1").entity("invoices")
ROWS = 1_000
LINES = [f"I-{row},V-{row % 7},N-{row},2026-01-01,paid,EUR,,,1.00" for row in range(1, ROWS + 1)]
FILE = "\n".join([",".join(INVOICES.header), *LINES]).encode()


async def in_chunks(size_bytes: int, taken: list[int]) -> AsyncIterator[bytes]:
    for start in range(0, len(FILE), size_bytes):
        taken.append(start)
        yield FILE[start : start + size_bytes]


async def sent(size_bytes: int) -> list[list[list[str]]]:
    """What was sent, text by text, line by line, field by field."""
    pinned = PinnedFile(
        "invoices", "invoices.csv", 1, len(FILE), ROWS, hashlib.sha256(FILE).hexdigest()
    )
    lines = CanonicalStream(INVOICES, pinned, "acme")
    texts = [text.decode() async for text in lines.lines(in_chunks(size_bytes, []))]
    lines.verify()
    return [[line.split(",", 3) for line in text.splitlines()] for text in texts]


def descents(hashes: Iterable[int]) -> int:
    return sum(later < earlier for earlier, later in pairwise(hashes))


@pytest.fixture(params=[1, 10_000, 2**30])
def run_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(stream, "RUN_BYTES", request.param)
    monkeypatch.setattr(stream, "ROWS_AT_A_TIME", 20)
    return int(request.param)


@pytest.mark.usefixtures("run_bytes")
@pytest.mark.parametrize("size_bytes", [700, 2**20])
async def test_every_row_is_sent_once_behind_its_hashes_and_its_number(size_bytes: int) -> None:
    found = [line for text in await sent(size_bytes) for line in text]

    assert sorted((int(row_no), record) for _, _, row_no, record in found) == list(
        enumerate(LINES, start=1)
    )
    for own, parent, _, record in found:
        key, parent_key = record.split(",")[:2]
        assert int(own) == hashed_id("invoices", "acme", key)
        assert int(parent) == hashed_id("vehicles", "acme", parent_key)


async def test_a_run_is_sent_in_the_order_of_the_hashes(run_bytes: int) -> None:
    found = [line for text in await sent(700) for line in text]

    hashes = [int(own) for own, *_ in found]
    lines_bytes = sum(len(",".join(line)) + 1 for line in found)
    assert descents(hashes) <= lines_bytes // run_bytes
    assert (descents(hashes) > 0) is (run_bytes < lines_bytes)


async def test_a_file_is_sent_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "RUN_BYTES", 10_000)
    taken: list[int] = []
    lines = CanonicalStream(INVOICES, PinnedFile("", "", 1, 0, 0, ""), "acme")

    await anext(aiter(lines.lines(in_chunks(700, taken))))

    assert taken[-1] < len(FILE) / 4


async def test_all_but_two_runs_are_sent_before_the_file_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "RUN_BYTES", 10_000)
    monkeypatch.setattr(stream, "ROWS_AT_A_TIME", 5)
    chunk_bytes = 5_000
    last_chunk = (len(FILE) - 1) // chunk_bytes * chunk_bytes
    taken: list[int] = []
    lines = CanonicalStream(INVOICES, PinnedFile("", "", 1, 0, 0, ""), "acme")

    held_bytes = 0
    async for text in lines.lines(in_chunks(chunk_bytes, taken)):
        held_bytes += len(text) if taken[-1] == last_chunk else 0

    assert 0 < held_bytes < 2 * 10_000 + 3 * chunk_bytes
