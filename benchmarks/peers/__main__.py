"""`make bench-peers`: the same files and server for crossdock and for other tools, in turns."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks import chart, page, server
from benchmarks.loads import PARTNER, customers_of, write_drop
from benchmarks.peers import environments, measure
from benchmarks.peers.catalog import PEERS, Peer
from benchmarks.peers.measure import CASES, OURS, Load, Result
from benchmarks.progress import say

TARGET: Final = "bench-peers"
ROWS: Final = 220_000
REPEATS: Final = 3
LIMIT_SECONDS: Final = 300.0
# To it, as to crossdock, keys that differ in case are two; MySQL's own default merges them.
COLLATION: Final = "utf8mb4_0900_bin"
LONGEST_LABEL: Final = 60
HEADER: Final = (
    "",
    "version",
    "first load",
    "rows/s",
    "the same again",
    "memory",
    "every value intact",
    "after the second load",
    "relations resolved",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure them all; 1 if crossdock itself left anything but what the files say."""
    parser = argparse.ArgumentParser(prog=f"make {TARGET}", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="about so many")
    parser.add_argument("--repeats", type=int, help="rounds of every tool")
    parser.add_argument("--limit", type=float, default=LIMIT_SECONDS, help="seconds for a load")
    names = [OURS, *(peer.name for peer in PEERS)]
    parser.add_argument("--only", action="append", choices=names, help="repeatable")
    parser.add_argument("--collation", default=COLLATION, help="of every database that is made")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = parser.parse_args(given)
    repeats = options.repeats or REPEATS
    asked = options.only or names
    peers = [peer for peer in PEERS if peer.name in asked]
    refused = _installed(peers)
    with server.started() as mysql:
        circumstances = page.Circumstances.now(TARGET, given, MySQL=mysql.version)
        mysql.collate(options.collation)
        drops, rows = _drops(mysql.folder, options.rows)
        rounds = []
        for number in range(1, repeats + 1):
            say(f"round {number} of {repeats}")
            ours = [measure.crossdock(mysql, drops)] if OURS in asked else []
            theirs = [_peer(mysql, peer, drops, refused, options.limit) for peer in peers]
            rounds.append(ours + theirs)
    results = [measure.median(of_one) for of_one in zip(*rounds, strict=True)]
    if options.json:
        sys.stdout.write(json.dumps([asdict(result) for result in results], indent=2) + "\n")
    else:
        show(results, rows, repeats, options.limit)
    if options.write:
        table = page.rendered(circumstances, HEADER, cells(results, rows))
        text = table + "\n" + "\n".join(notes(results, rows, repeats, options.limit)) + "\n"
        page.write(TARGET, text, drawn(results, rows))
    return 0 if all(result.is_sound for result in results if result.is_ours) else 1


def _peer(
    mysql: server.Server, peer: Peer, drops: Path, refused: dict[str, str], limit_seconds: float
) -> Result:
    if peer.name in refused:
        return measure.not_installed(peer, refused[peer.name])
    return measure.peer(mysql, peer, drops, limit_seconds)


def _installed(peers: Sequence[Peer]) -> dict[str, str]:
    """Make what environments are missing, before anything is timed; why one could not be made."""
    refused = {}
    for peer in peers:
        try:
            environments.ensure(peer.name)
        except environments.NotInstalledError as error:
            refused[peer.name] = str(error)
    return refused


def _drops(folder: Path, about_rows: int) -> tuple[Path, int]:
    say(f"writing the drops of about {about_rows:,} rows")
    drops = folder / "bucket" / "imports" / PARTNER
    counts = [
        write_drop(drops, case, customers_of(about_rows), minute=minute, version=1)
        for minute, case in enumerate(CASES)
    ]
    return drops, counts[0]


def show(results: Sequence[Result], rows: int, repeats: int, limit_seconds: float) -> None:
    """Print what was measured."""
    table = Table(title=f"{rows:,} rows")
    for heading in HEADER:
        table.add_column(heading)
    for line in cells(results, rows):
        table.add_row(*line)
    console = Console(width=180)
    console.print(table, markup=False)
    for note in notes(results, rows, repeats, limit_seconds):
        console.print(note, markup=False, highlight=False)


def cells(results: Sequence[Result], rows: int) -> list[list[str]]:
    """The table's lines, one for each tool."""
    lines = []
    for result in results:
        first, *later = result.loads
        second = later[0] if later else None
        is_done = first.took.failure is None
        lines.append(
            [
                f"{result.name}, appends only" if result.only_appends else result.name,
                result.version,
                _time(first),
                f"{rows / first.took.seconds:,.0f}" if is_done else "",
                _time(second) if second else "not tried",
                f"{max(load.took.peak_bytes for load in result.loads) / 1e6:,.0f} MB",
                _intact(first),
                _intact(second) if second else "",
                "yes" if first.relates else "no",
            ]
        )
    return lines


def notes(results: Sequence[Result], rows: int, repeats: int, limit_seconds: float) -> list[str]:
    """What the table has no room for, as a list: the manner, the limit, the failures."""
    limit = f"a load may take {limit_seconds:.0f} s"
    meaning = "seconds are of whole commands, memory is the most that one of their processes had"
    taken = f"medians of {repeats} rounds, in each of which the tools took turns"
    lines = [f"- {rows:,} rows in four files; {taken}; {limit}; {meaning}."]
    for result in results:
        lines.append(f"- {result.name}: {result.manner}.")
        for case, load in zip(CASES, result.loads, strict=False):
            title = "first load" if case == CASES[0] else "the same again"
            if load.took.failure is not None:
                lines.append(f"  - {title}: **failed**: {load.took.failure}.")
            if load.contents is not None and not load.contents.are_intact:
                lines.append(f"  - {title}: intact? {load.contents.told()}.")
    return lines


def drawn(results: Sequence[Result], rows: int) -> str:
    """Both loads of every tool as bars."""
    titles = ("First load, seconds", "The same data again, seconds")
    groups = [
        chart.Group(title, [_bar(result, number) for result in results])
        for number, title in enumerate(titles)
    ]
    return chart.drawn(f"{rows:,} rows into MySQL by crossdock and by other tools", groups)


def _bar(result: Result, number: int) -> chart.Bar:
    label = f"{result.name} (appends only)" if result.only_appends else result.name
    if number >= len(result.loads):
        return chart.Bar(label, None, "not tried: the first load failed", result.is_ours)
    took = result.loads[number].took
    if took.failure is not None:
        return chart.Bar(label, None, f"failed: {took.failure[:LONGEST_LABEL]}", result.is_ours)
    return chart.Bar(label, took.seconds, f"{took.seconds:.1f}", result.is_ours)


def _time(load: Load) -> str:
    told = f"{load.took.seconds:.1f} s"
    return told if load.took.failure is None else f"failed after {told}"


def _intact(load: Load) -> str:
    if load.contents is None:
        return ""
    return "yes" if load.contents.are_intact else f"no ({load.contents.wrong:,} rows)"


if __name__ == "__main__":
    sys.exit(main())
