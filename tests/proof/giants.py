"""The memory that giants need: each goes from the disk through the product, in its own process.

Peak memory is what the kernel says of that process (VmHWM), with all that a service imports.
"""

import asyncio
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, count
from pathlib import Path

import structlog

from crossdock.offline_check import check
from services.validator.inspect import inspect_file
from shared.clock import now
from shared.contracts.model import contracts
from shared.errors import Rejected
from shared.manifest import reread_manifest
from shared.partners import Partners
from shared.service import create_app
from shared.storage.directory import DirectoryStorage
from shared.storage.gcs import GcsStorage
from shared.storage.port import CHUNK_BYTES
from tests.drops import HEADERS, Drop
from tests.loads import run
from tests.pages import ROOT
from tests.verdicts import open_bench

GIGABYTE = 1_000_000_000
MOST_MEGABYTES = 200
# What a service holds before it sees a byte: the proof must not be cheaper than a service.
IMPORTED_BY_A_SERVICE = (create_app, GcsStorage)
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")

Chunks = Callable[[int], Iterator[bytes]]
Way = Callable[[Path, Drop, str], tuple[str, int]]


@dataclass(frozen=True)
class Measured:
    """What came of one giant: its verdict, its rows, and what it took."""

    verdict: str
    rows: int
    seconds: float
    peak_megabytes: int


# --- what is on the disk --------------------------------------------------------------------------


def usual_rows(size_bytes: int) -> Iterator[bytes]:
    """customers.csv in rows as they usually are."""
    row = b'C-%d,Ada,Byron,"Byron, Ada",ada%d@example.com,+44 20 7946,12 Hill St,,London,,W1,GB\n'
    return numbered(row, size_bytes)


def orphans(size_bytes: int) -> Iterator[bytes]:
    """vehicles.csv in rows of which each names another customer that is nowhere."""
    row = b"V-%d,nobody-%d,1HGCM82633A004352,Honda,Accord,2003,AB12 CDE,120500\n"
    return numbered(row, size_bytes)


def numbered(row: bytes, size_bytes: int) -> Iterator[bytes]:
    """So many bytes of a row in which its number has two places."""
    size = 0
    for start in count(step=2_000):
        if size >= size_bytes:
            return
        chunk = b"".join([row % (number, number) for number in range(start, start + 2_000)])
        size += len(chunk)
        yield chunk


def long_texts(size_bytes: int) -> Iterator[bytes]:
    """line_items.csv in rows with the longest text that a column takes."""
    row = f"L-%d,I1,1,part,,{'😀' * 2_000},1.000,1.5000,1.50\n".encode()
    for number in range(-(-size_bytes // len(row))):
        yield row % number


def long_keys(size_bytes: int) -> Iterator[bytes]:
    """customers.csv in rows with keys far over their limit, each of them twice.

    One character of each key makes Python hold the others in four bytes too.
    """
    row = f"C-%d😀{'x' * 60_000},,,,,,,,,,,\n".encode()
    for number in range(-(-size_bytes // len(row))):
        yield row % (number // 2)


def one_field(size_bytes: int) -> Iterator[bytes]:
    """customers.csv with one quote that is closed at its very end."""
    yield b'C-1,"'
    yield from repeated(b"x", size_bytes)
    yield b'",,,,,,,,,,\n'


def commas(size_bytes: int) -> Iterator[bytes]:
    """customers.csv with a row of nothing but commas."""
    yield from repeated(b",", size_bytes)
    yield b"\n"


def repeated(byte: bytes, size_bytes: int) -> Iterator[bytes]:
    for start in range(0, size_bytes, CHUNK_BYTES):
        yield byte * min(CHUNK_BYTES, size_bytes - start)


def write_drop(root: Path, entity: str, chunks: Iterator[bytes]) -> Drop:
    """Write a drop of which one file is given piece by piece."""
    drop = Drop()
    folder = drop.write(root)
    digest, lines = hashlib.sha256(), 0
    with (folder / f"{entity}.csv").open("wb") as file:
        for chunk in chain([HEADERS[entity].encode() + b"\n"], chunks):
            file.write(chunk)
            digest.update(chunk)
            lines += chunk.count(b"\n")
    files = drop.manifest()["files"]
    (listed,) = (it for it in files if it["name"] == f"{entity}.csv")
    listed.update(rows=lines - 1, sha256=digest.hexdigest())
    drop.manifest_changes = {"files": files}
    drop.write_manifest(root)
    return drop


# --- the ways that it goes ------------------------------------------------------------------------


def by_the_stages(root: Path, drop: Drop, server_url: str) -> tuple[str, int]:
    """All four stages, into production."""

    async def taken() -> tuple[str, int]:
        async with open_bench(server_url, root) as bench:
            followed = await run(bench.parts, drop)
            assert followed.load is not None
            keys = {"load_id": drop.load_id}
            rows = await bench.database.fetch_value(
                "SELECT SUM(inserted) FROM load_count WHERE load_id = %(load_id)s", keys
            )
            code = await bench.database.fetch_value(
                "SELECT failure_code FROM load_ledger WHERE load_id = %(load_id)s", keys
            )
            return code or followed.ending.value, int(rows or 0)

    return asyncio.run(taken())


def by_the_validator(root: Path, drop: Drop, _server_url: str) -> tuple[str, int]:
    """The validator's reading of each file."""
    data = (root / drop.prefix / "manifest.json").read_bytes()
    manifest = reread_manifest(data, drop.load_id)
    storage = DirectoryStorage(root, "drops")

    async def read() -> int:
        rows = 0
        for entity in contracts()["v1"].entities:
            found = await storage.stat(drop.prefix + entity.file_name)
            assert found is not None
            chunks = storage.read(found.name, found.generation)
            rows += (await inspect_file(chunks, manifest.file(entity.file_name), entity)).rows
        return rows

    try:
        return "taken", asyncio.run(read())
    except Rejected as rejected:
        return rejected.failure.code, 0


def by_the_check(root: Path, drop: Drop, _server_url: str) -> tuple[str, int]:
    """`crossdock check`."""
    result = check(root / drop.prefix, partner=None, partners=Partners(), now=now())
    code = "taken" if result.failure is None else result.failure.code
    return code, sum(it.rows for it in result.entities.values())


@dataclass(frozen=True)
class Giant:
    """One giant: its file, the way that it goes, and what must come of it."""

    name: str
    entity: str
    chunks: Chunks
    way: Way
    verdict: str

    def faults(self, measured: Measured) -> Iterator[str]:
        """What is not as it must be."""
        if measured.verdict != self.verdict:
            yield f"{self.name}: {measured.verdict}, expected {self.verdict}"
        if measured.peak_megabytes >= MOST_MEGABYTES:
            peak = f"{measured.peak_megabytes} MB at the peak"
            yield f"{self.name}: {peak}, at most {MOST_MEGABYTES} allowed"


GIANTS = (
    Giant("long texts, four stages", "line_items", long_texts, by_the_stages, "reported"),
    Giant("one field, four stages", "customers", one_field, by_the_stages, "csv.field_too_large"),
    Giant("commas, four stages", "customers", commas, by_the_stages, "csv.field_count"),
    Giant("usual rows, validator", "customers", usual_rows, by_the_validator, "taken"),
    Giant("usual rows, check", "customers", usual_rows, by_the_check, "taken"),
    Giant("orphans, check", "vehicles", orphans, by_the_check, "taken"),
    Giant("long keys, check", "customers", long_keys, by_the_check, "rejects.over_limit"),
)


def measure(giant: Giant, server_url: str, size_bytes: int) -> Measured:
    """Send a giant of that size its way, in a process of its own.

    Raises:
        subprocess.CalledProcessError: the process broke.
    """
    with tempfile.TemporaryDirectory(prefix="crossdock-giant-") as root:
        write_drop(Path(root), giant.entity, giant.chunks(size_bytes))
        command = [sys.executable, "-m", "tests.proof.giants", giant.name, root, server_url]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT)
    return Measured(**json.loads(done.stdout))


def main(arguments: Sequence[str]) -> None:
    """The process of one giant: prints what was measured, as JSON."""
    name, root, server_url = arguments
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    (giant,) = (it for it in GIANTS if it.name == name)
    began = time.perf_counter()
    verdict, rows = giant.way(Path(root), Drop(), server_url)
    seconds = time.perf_counter() - began
    peak = _PEAK.search(Path("/proc/self/status").read_text(encoding="ascii"))
    assert peak is not None
    peak_megabytes = int(peak[1]) * 1024 // 1_000_000
    print(json.dumps(asdict(Measured(verdict, rows, round(seconds, 1), peak_megabytes))))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
