"""`make bench-small`: small drops through the whole stack, alone, at once, and beside a large one.

Real MySQL, Google's Pub/Sub emulator, a storage emulator and the four services, in a temporary
folder. The time of a drop goes from the upload of its manifest to its state `reported`.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks.loads import EPOCH
from crossdock.pack import pack
from crossdock.stack import local
from crossdock.stack.running import StackInfo
from infra.local.sample import generate
from shared.contracts.model import contracts
from shared.manifest import MANIFEST_NAME
from shared.mysql.connect import Database, connect

CUSTOMERS_OF_A_SMALL_DROP: Final = 4
SMALL_DROPS: Final = 200
PARTNERS: Final = 10
DROPS_OF_EACH: Final = 20
LARGE_CUSTOMERS: Final = 181_000
POLL_SECONDS: Final = 0.005
PATIENCE_SECONDS: Final = 1_200
GOAL_P95_SECONDS: Final = 1.0
GOAL_SLOWDOWN: Final = 2.0
_STATE: Final = "SELECT state FROM load_ledger WHERE load_id = %(load_id)s"


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured.

    Attributes:
        rows: of a small drop.
        alone_p50_seconds: the middle one of SMALL_DROPS drops of one partner, one after the other.
        alone_p95_seconds: what 19 of 20 of them stay below.
        drops_a_second: of PARTNERS partners at once.
        beside_p50_seconds: the middle one of small drops while another partner's large one is at
            work.
        beside: how many they were.
        large_rows: of the large one.
        large_seconds: its own time.
    """

    rows: int
    alone_p50_seconds: float
    alone_p95_seconds: float
    drops_a_second: float
    beside_p50_seconds: float
    beside: int
    large_rows: int
    large_seconds: float

    @property
    def slowdown(self) -> float:
        """How many times longer a small drop takes beside the large one."""
        return self.beside_p50_seconds / self.alone_p50_seconds


@dataclass(frozen=True, slots=True)
class Place:
    """Where drops are written, uploaded to and looked for."""

    folder: Path
    stack: StackInfo
    http: httpx.AsyncClient
    database: Database

    def write(self, partner: str, number: int, customers: int) -> tuple[Path, int]:
        """A drop of its own rows, and how many they are."""
        drop = self.folder / "imports" / partner / f"{partner}-{number}"
        rows = generate(drop, seed=number, customers=customers)
        pack(drop, drop.name, partner, EPOCH + timedelta(minutes=number))
        return drop, sum(rows.values())

    async def upload(self, drop: Path) -> None:
        """All files of a drop but its manifest."""
        for entity in contracts()["v1"].entities:
            await self._put(drop / entity.file_name)

    async def announce(self, drop: Path) -> float:
        """Upload the manifest; the moment at which that began."""
        began = time.perf_counter()
        await self._put(drop / MANIFEST_NAME)
        return began

    async def reported(self, drop: Path, database: Database | None = None) -> float:
        """Wait for the drop's end; the moment of it."""
        looking = database or self.database
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (
                state := await looking.fetch_value(_STATE, {"load_id": drop.name})
            ) != "reported":
                assert state != "failed", drop.name
                await asyncio.sleep(POLL_SECONDS)
        return time.perf_counter()

    async def timed(self, drop: Path) -> float:
        """Seconds of one drop."""
        await self.upload(drop)
        began = await self.announce(drop)
        return await self.reported(drop) - began

    async def _put(self, path: Path) -> None:
        name = quote(path.relative_to(self.folder).as_posix(), safe="")
        url = f"{self.stack.storage_emulator_host}/upload/storage/v1/b/{self.stack.bucket}/o"
        content = await asyncio.to_thread(path.read_bytes)
        answer = await self.http.post(f"{url}?uploadType=media&name={name}", content=content)
        answer.raise_for_status()


async def measure(place: Place) -> Figures:
    """All three, one after the other."""
    _say("warming up")
    for number in range(5):
        await place.timed(place.write("warm", number, CUSTOMERS_OF_A_SMALL_DROP)[0])
    alone, rows = await _alone(place)
    drops_a_second = await _at_once(place)
    beside, large_rows, large_seconds = await _beside_a_large_one(place)
    return Figures(
        rows=rows,
        alone_p50_seconds=statistics.median(alone),
        alone_p95_seconds=statistics.quantiles(alone, n=20)[-1],
        drops_a_second=drops_a_second,
        beside_p50_seconds=statistics.median(beside),
        beside=len(beside),
        large_rows=large_rows,
        large_seconds=large_seconds,
    )


async def _alone(place: Place) -> tuple[list[float], int]:
    _say(f"{SMALL_DROPS} drops, one after the other")
    drops = [
        place.write("solo", number, CUSTOMERS_OF_A_SMALL_DROP) for number in range(SMALL_DROPS)
    ]
    seconds = [await place.timed(drop) for drop, _ in drops]
    return seconds, round(statistics.mean(rows for _, rows in drops))


async def _at_once(place: Place) -> float:
    _say(f"{PARTNERS} partners with {DROPS_OF_EACH} drops each, at once")
    drops = [
        [
            place.write(f"p{partner}", number, CUSTOMERS_OF_A_SMALL_DROP)[0]
            for number in range(DROPS_OF_EACH)
        ]
        for partner in range(PARTNERS)
    ]
    for drop in (drop for of_one in drops for drop in of_one):
        await place.upload(drop)

    async def bring(of_one: list[Path]) -> None:
        async with connect(place.stack.mysql_url, program_name="bench") as database:
            for drop in of_one:
                await place.announce(drop)
                await place.reported(drop, database)

    began = time.perf_counter()
    await asyncio.gather(*map(bring, drops))
    return PARTNERS * DROPS_OF_EACH / (time.perf_counter() - began)


async def _beside_a_large_one(place: Place) -> tuple[list[float], int, float]:
    _say("a large drop, and small ones of another partner beside it")
    large, large_rows = place.write("large", 0, LARGE_CUSTOMERS)
    await place.upload(large)
    began = await place.announce(large)

    async def end() -> float:
        async with connect(place.stack.mysql_url, program_name="bench") as database:
            return await place.reported(large, database)

    ending = asyncio.create_task(end())
    seconds: list[float] = []
    for number in count():
        drop, _ = place.write("beside", number, CUSTOMERS_OF_A_SMALL_DROP)
        took = await place.timed(drop)
        if ending.done():
            break
        seconds.append(took)
    return seconds, large_rows, await ending - began


@asynccontextmanager
async def _place(folder: Path, stack: StackInfo) -> AsyncIterator[Place]:
    async with (
        httpx.AsyncClient(timeout=300) as http,
        connect(stack.mysql_url, program_name="bench") as database,
    ):
        yield Place(folder, stack, http, database)


async def _run(folder: Path, stack: StackInfo) -> Figures:
    async with _place(folder / "bucket", stack) as place:
        return await measure(place)


def show(figures: Figures) -> None:
    """Print the figures with their goals."""
    table = Table(title=f"Drops of {figures.rows} rows, from the manifest's upload to `reported`")
    for heading in ("", "measured", "goal"):
        table.add_column(heading)
    table.add_row(
        f"{SMALL_DROPS} one after the other, p50", f"{figures.alone_p50_seconds:.3f} s", ""
    )
    goal = f"{GOAL_P95_SECONDS:.1f} s"
    table.add_row("the same, p95", f"{figures.alone_p95_seconds:.3f} s", goal)
    table.add_row(f"{PARTNERS} partners at once", f"{figures.drops_a_second:.1f} drops/s", "")
    title = f"beside a load of {figures.large_rows:,} rows ({figures.large_seconds:.0f} s), p50"
    beside = f"{figures.beside_p50_seconds:.3f} s, {figures.slowdown:.1f} times as long"
    table.add_row(title, f"{beside} ({figures.beside} drops)", f"{GOAL_SLOWDOWN:.1f} times")
    Console(width=120).print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 1 if a goal was missed."""
    parser = argparse.ArgumentParser(prog="make bench-small", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="crossdock-bench-") as name:
        folder, state_dir = Path(name), Path(name) / "stack"
        try:
            stack = local.up(state_dir, Path.cwd(), progress=_say)
            figures = asyncio.run(_run(folder, stack))
        finally:
            local.down(state_dir)
    if options.json:
        sys.stdout.write(json.dumps(asdict(figures), indent=2) + "\n")
    else:
        show(figures)
    met = figures.alone_p95_seconds <= GOAL_P95_SECONDS and figures.slowdown <= GOAL_SLOWDOWN
    return 0 if met else 1


def _say(line: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"bench: {line}\n")


if __name__ == "__main__":
    sys.exit(main())
