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
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks import page
from benchmarks.loads import customers_of
from benchmarks.place import Place, opened
from benchmarks.progress import say
from crossdock.stack import local
from crossdock.stack.running import StackInfo
from shared.mysql.connect import connect

TARGET: Final = "bench-small"
CUSTOMERS_OF_A_SMALL_DROP: Final = 4
SMALL_DROPS: Final = 200
PARTNERS: Final = 10
DROPS_OF_EACH: Final = 20
LARGE_ROWS: Final = 2_000_000
GOAL_P95_SECONDS: Final = 1.0
GOAL_SLOWDOWN: Final = 2.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured.

    Attributes:
        rows: of a small drop.
        alone: how many drops of one partner came one after the other.
        alone_p50_seconds: the middle one of them.
        alone_p95_seconds: what 19 of 20 of them stay below.
        drops_a_second: of PARTNERS partners at once.
        beside_p50_seconds: the middle one of small drops while another partner's large one is at
            work.
        beside: how many they were.
        large_rows: of the large one.
        large_seconds: its own time.
    """

    rows: int
    alone: int
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


async def measure(place: Place, drops: int, large_rows: int) -> Figures:
    """All three, one after the other."""
    say("warming up")
    for number in range(5):
        await place.timed(place.write("warm", number, CUSTOMERS_OF_A_SMALL_DROP)[0])
    alone, rows = await _alone(place, drops)
    drops_a_second = await _at_once(place)
    beside, large_rows, large_seconds = await _beside_a_large_one(place, large_rows)
    return Figures(
        rows=rows,
        alone=len(alone),
        alone_p50_seconds=statistics.median(alone),
        alone_p95_seconds=statistics.quantiles(alone, n=20)[-1],
        drops_a_second=drops_a_second,
        beside_p50_seconds=statistics.median(beside),
        beside=len(beside),
        large_rows=large_rows,
        large_seconds=large_seconds,
    )


async def _alone(place: Place, how_many: int) -> tuple[list[float], int]:
    say(f"{how_many} drops, one after the other")
    drops = [place.write("solo", number, CUSTOMERS_OF_A_SMALL_DROP) for number in range(how_many)]
    seconds = [await place.timed(drop) for drop, _ in drops]
    return seconds, round(statistics.mean(rows for _, rows in drops))


async def _at_once(place: Place) -> float:
    say(f"{PARTNERS} partners with {DROPS_OF_EACH} drops each, at once")
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


async def _beside_a_large_one(place: Place, about_rows: int) -> tuple[list[float], int, float]:
    say("a large drop, and small ones of another partner beside it")
    large, large_rows = place.write("large", 0, customers_of(about_rows))
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


async def _run(folder: Path, stack: StackInfo, drops: int, large_rows: int) -> Figures:
    async with opened(folder / "bucket", stack) as place:
        return await measure(place, drops, large_rows)


def cells(figures: Figures) -> list[list[str]]:
    """The table's lines: what, measured, goal."""
    large = f"a load of {figures.large_rows:,} rows ({figures.large_seconds:.0f} s)"
    beside = f"{figures.beside_p50_seconds:.3f} s, {figures.slowdown:.1f} times as long"
    p50, p95 = (
        f"{seconds:.3f} s" for seconds in (figures.alone_p50_seconds, figures.alone_p95_seconds)
    )
    return [
        [f"{figures.alone} one after the other, p50", p50, ""],
        ["the same, p95", p95, f"{GOAL_P95_SECONDS:.1f} s"],
        [f"{PARTNERS} partners at once", f"{figures.drops_a_second:.1f} drops/s", ""],
        [
            f"beside {large}, p50",
            f"{beside} ({figures.beside} drops)",
            f"{GOAL_SLOWDOWN:.1f} times",
        ],
    ]


def header(figures: Figures) -> list[str]:
    """The table's headings."""
    return [f"drops of {figures.rows} rows, manifest to `reported`", "measured", "goal"]


def show(figures: Figures) -> None:
    """Print the figures with their goals."""
    table = Table(*header(figures))
    for line in cells(figures):
        table.add_row(*line)
    Console(width=120).print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 1 if a goal was missed."""
    parser = argparse.ArgumentParser(prog=f"make {TARGET}", description=__doc__)
    parser.add_argument("--drops", type=int, default=SMALL_DROPS, help="small ones, alone")
    parser.add_argument("--large-rows", type=int, default=LARGE_ROWS, help="of the large one")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = parser.parse_args(given)
    circumstances = page.Circumstances.now(TARGET, given)
    with tempfile.TemporaryDirectory(prefix="crossdock-bench-") as name:
        folder, state_dir = Path(name), Path(name) / "stack"
        try:
            stack = local.up(state_dir, Path.cwd(), progress=say)
            figures = asyncio.run(_run(folder, stack, options.drops, options.large_rows))
        finally:
            local.down(state_dir)
    if options.json:
        sys.stdout.write(json.dumps(asdict(figures), indent=2) + "\n")
    else:
        show(figures)
    if options.write:
        page.write(TARGET, page.rendered(circumstances, header(figures), cells(figures)))
    met = figures.alone_p95_seconds <= GOAL_P95_SECONDS and figures.slowdown <= GOAL_SLOWDOWN
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
