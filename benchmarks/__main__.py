"""`make bench`: whole loads against the yardstick, paired and repeated, on their own server."""

import argparse
import asyncio
import json
import shutil
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks import chart, page, server
from benchmarks.loads import PARTNER, Run, customers_of, take, write_drop
from benchmarks.progress import say
from benchmarks.yardstick import load_raw
from shared.mysql.migrate import migrate

TARGET: Final = "bench"
CASES: Final = ("first", "again", "changed")
TITLES: Final = {
    "first": "first load",
    "again": "the same data as a new load",
    "changed": "5 % changed",
}
GOALS: Final = {"first": (5.0, 6.5), "again": (2.0, 3.5), "changed": (2.5, 4.0)}
MOST_BYTES: Final = 150_000_000
REPEATS: Final = {220_000: 5, 2_200_000: 3}
HEADER: Final = (
    "rows",
    "load",
    "LOAD DATA alone",
    "seconds",
    "rows/s",
    "x LOAD DATA",
    "goal",
    "memory",
    "rounds",
)


@dataclass(frozen=True, slots=True)
class Round:
    """The yardstick and the three loads, one after the other in a database of their own."""

    yardstick_seconds: float
    runs: dict[str, Run]

    def ratio(self, case: str) -> float:
        """Seconds of a load, in yardsticks."""
        return self.runs[case].seconds / self.yardstick_seconds


@dataclass(frozen=True, slots=True)
class Size:
    """The rounds of one size."""

    rows: int
    rounds: list[Round]

    def median_ratio(self, case: str) -> float:
        """The middle one of the rounds' ratios."""
        return statistics.median(one.ratio(case) for one in self.rounds)

    def median_run(self, case: str) -> Run:
        """The run of the round with that ratio, or the one just above it."""
        ordered = sorted(self.rounds, key=lambda one: one.ratio(case))
        return ordered[len(ordered) // 2].runs[case]

    def peak_bytes(self) -> int:
        """The most memory that any of the runs had."""
        return max(run.peak_bytes for one in self.rounds for run in one.runs.values())

    def is_acceptable(self) -> bool:
        """Whether every ratio and the memory are within what is promised."""
        ratios = all(self.median_ratio(case) <= GOALS[case][1] for case in CASES)
        return ratios and self.peak_bytes() <= MOST_BYTES


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each size; 1 if a ratio or the memory is not acceptable."""
    parser = argparse.ArgumentParser(prog=f"make {TARGET}", description=__doc__)
    parser.add_argument("--rows", type=int, action="append", help="about so many; repeatable")
    parser.add_argument("--repeats", type=int, help="rounds of each size")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = parser.parse_args(given)
    sizes = []
    with server.started() as mysql:
        circumstances = page.Circumstances.now(TARGET, given, MySQL=mysql.version)
        for rows in options.rows or REPEATS:
            repeats = options.repeats or REPEATS.get(rows, 1)
            sizes.append(_measure(mysql, rows, repeats))
            if not options.json:
                show(sizes[-1])
    if options.json:
        sys.stdout.write(json.dumps([_told(size) for size in sizes], indent=2) + "\n")
    if options.write:
        page.write(TARGET, page.rendered(circumstances, HEADER, cells(sizes)), drawn(sizes))
    return 0 if all(size.is_acceptable() for size in sizes) else 1


def _measure(mysql: server.Server, about_rows: int, repeats: int) -> Size:
    drops = mysql.folder / "bucket" / "imports" / PARTNER
    customers = customers_of(about_rows)
    rows = 0
    for minute, case in enumerate(CASES):
        say(f"{about_rows:,} rows: writing the drop {case}")
        version = 2 if case == "changed" else 1
        rows = write_drop(drops, case, customers, minute=minute, version=version)
    rounds = []
    for number in range(1, repeats + 1):
        say(f"{rows:,} rows: round {number} of {repeats}")
        rounds.append(_round(mysql, drops))
    shutil.rmtree(drops)
    return Size(rows, rounds)


def _round(mysql: server.Server, drops: Path) -> Round:
    mysql.empty()
    asyncio.run(migrate(mysql.url))
    mysql.rest()
    yardstick_seconds = load_raw(mysql.url, drops / "first")
    runs = {}
    for case in CASES:
        mysql.rest()
        runs[case] = take(mysql.url, drops / case)
    return Round(yardstick_seconds, runs)


def show(size: Size) -> None:
    """Print what was measured of one size."""
    yardstick = statistics.median(one.yardstick_seconds for one in size.rounds)
    rate = f"{size.rows / yardstick:,.0f} rows/s"
    title = (
        f"{size.rows:,} rows, medians of {len(size.rounds)}; LOAD DATA alone {yardstick:.2f} s, "
    )
    table = Table(title=title + rate)
    stages = list(size.median_run("first").stages)
    for heading in ("", "seconds", "x yardstick", "goal", *stages, "peak memory"):
        table.add_column(heading, justify="right")
    for case in CASES:
        run = size.median_run(case)
        speeds = (f"{size.rows / run.stages[stage]:,.0f} rows/s" for stage in stages)
        table.add_row(
            TITLES[case],
            f"{run.seconds:.2f}",
            f"{size.median_ratio(case):.2f}",
            f"{GOALS[case][0]:.1f}",
            *speeds,
            f"{run.peak_bytes / 1e6:.0f} MB",
        )
    console = Console(width=160)
    console.print(table)
    for case in CASES:
        console.print(f"Where the time of {TITLES[case]} went, in statements:")
        for statement, times, seconds in size.median_run(case).statements:
            console.print(f"  {seconds:8.2f} s  {times:6} x  {statement[:120]}", highlight=False)


def cells(sizes: Sequence[Size]) -> list[list[str]]:
    """The page's lines, one for each kind of load at each size."""
    return [
        [
            f"{size.rows:,}",
            TITLES[case],
            f"{statistics.median(one.yardstick_seconds for one in size.rounds):.2f} s",
            f"{size.median_run(case).seconds:.2f} s",
            f"{size.rows / size.median_run(case).seconds:,.0f}",
            f"{size.median_ratio(case):.2f}",
            f"{GOALS[case][0]:.1f}",
            f"{size.median_run(case).peak_bytes / 1e6:.0f} MB",
            str(len(size.rounds)),
        ]
        for size in sizes
        for case in CASES
    ]


def drawn(sizes: Sequence[Size]) -> str:
    """The ratios as bars, each with a mark at its goal."""
    groups = [
        chart.Group(f"{size.rows:,} rows", [_bar(size, case) for case in CASES]) for size in sizes
    ]
    return chart.drawn("Whole loads, in times of LOAD DATA alone; the line is the goal", groups)


def _bar(size: Size, case: str) -> chart.Bar:
    ratio = size.median_ratio(case)
    return chart.Bar(TITLES[case], ratio, f"{ratio:.2f}", goal=GOALS[case][0])


def _told(size: Size) -> dict[str, Any]:
    ratios = {case: size.median_ratio(case) for case in CASES}
    rounds = [asdict(one) for one in size.rounds]
    return {"rows": size.rows, "ratios": ratios, "peak_bytes": size.peak_bytes(), "rounds": rounds}


if __name__ == "__main__":
    sys.exit(main())
