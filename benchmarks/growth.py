"""`make bench-growth`: first loads of growing size, each into an empty database of one server.

Internal ids are hashes, so new rows go all over their tables. `--buffer-pool 1G --buffer-pool 128M`
measures all sizes twice, the second time with a server whose memory is smaller than production, so
that what this costs can be seen. The sizes take turns, round by round: minutes lie between two of
them, and a machine is not equally fast in all.
"""

import argparse
import asyncio
import json
import re
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks import chart, page, server
from benchmarks.loads import PARTNER, Run, customers_of, take, write_drop
from benchmarks.progress import say
from shared.mysql.migrate import migrate

TARGET: Final = "bench-growth"
SIZES: Final = (220_000, 2_200_000, 11_000_000)
LEAST_SHARE: Final = 0.8
MOST_BYTES: Final = 150_000_000
REPEATS: Final = 3
HEADER: Final = (
    "rows",
    "seconds",
    "rows/s",
    "stager, rows/s",
    "upserter, rows/s",
    "memory of the run",
    "memory of MySQL",
    "data on disk",
    "buffer pool",
)
_ON_DISK: Final = """SELECT SUM(data_length + index_length) FROM information_schema.tables
WHERE table_schema = DATABASE()"""


@dataclass(frozen=True, slots=True)
class Growth:
    """One first load of one size.

    Attributes:
        pool_bytes: the server's buffer pool.
        rows: of the drop.
        run: what `crossdock run` took.
        server_bytes: the most memory that MySQL had meanwhile.
        disk_bytes: what its tables take after it, with staging.
    """

    pool_bytes: int
    rows: int
    run: Run
    server_bytes: int
    disk_bytes: int

    @property
    def rate(self) -> float:
        """Rows a second, of the whole command."""
        return self.rows / self.run.seconds


# The loads of one round, the smallest first.
Round = Sequence[Growth]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each size; 1 if, in the first pool, the largest is too slow or memory grows."""
    parser = argparse.ArgumentParser(prog=f"make {TARGET}", description=__doc__)
    parser.add_argument("--rows", type=int, action="append", help="about so many; repeatable")
    size = server.size_in_bytes
    parser.add_argument(
        "--buffer-pool", type=size, action="append", help="as 128M; repeatable, a server for each"
    )
    parser.add_argument("--repeats", type=int, default=REPEATS, help="rounds with each pool")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = parser.parse_args(given)
    circumstances = page.Circumstances.now(TARGET, given)
    pools = []
    for pool_bytes in options.buffer_pool or [None]:
        with server.started(pool_bytes) as mysql:
            circumstances = replace(circumstances, versions=page.versions_of(MySQL=mysql.version))
            pools.append(_rounds(mysql, options.rows or SIZES, options.repeats))
    if options.json:
        told = [asdict(one) for rounds in pools for loads in rounds for one in loads]
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        show(pools)
    if options.write:
        table = page.rendered(circumstances, HEADER, cells(pools))
        page.write(TARGET, table + "\n" + "\n".join(notes(pools)) + "\n", drawn(pools))
    return 0 if is_flat(pools[0]) else 1


def is_flat(rounds: Sequence[Round]) -> bool:
    """Whether the largest is nearly as fast as the one before, and no run had too much memory."""
    in_bounds = all(one.run.peak_bytes <= MOST_BYTES for loads in rounds for one in loads)
    return statistics.median(shares(rounds)) >= LEAST_SHARE and in_bounds


def shares(rounds: Sequence[Round]) -> list[float]:
    """Of each round the rate of the largest load, in times of that of the one before."""
    return [loads[-1].rate / loads[-2:][0].rate for loads in rounds]


def medians(rounds: Sequence[Round]) -> list[Growth]:
    """Of each size the load with the middle rate."""
    return [
        sorted(of_size, key=lambda one: one.rate)[len(of_size) // 2]
        for of_size in zip(*rounds, strict=True)
    ]


def _rounds(mysql: server.Server, sizes: Sequence[int], repeats: int) -> list[Round]:
    drops = {}
    for about_rows in sizes:
        say(f"{about_rows:,} rows: writing the drop")
        name = f"first-{about_rows}"
        folder = mysql.folder / "bucket" / "imports" / PARTNER
        rows = write_drop(folder, name, customers_of(about_rows), minute=0, version=1)
        drops[folder / name] = rows
    rounds: list[Round] = []
    for number in range(1, repeats + 1):
        say(f"round {number} of {repeats}")
        rounds.append([_measure(mysql, drop, rows) for drop, rows in drops.items()])
    return rounds


def _measure(mysql: server.Server, drop: Path, rows: int) -> Growth:
    mysql.empty()
    asyncio.run(migrate(mysql.url))
    mysql.rest()
    say(f"{rows:,} rows: loading")
    _forget_peak(mysql.pid)
    run = take(mysql.url, drop)
    server_bytes = _peak_bytes(mysql.pid)
    pool_bytes = int(mysql.asked("SELECT @@innodb_buffer_pool_size"))
    taken = Growth(pool_bytes, rows, run, server_bytes, int(mysql.asked(_ON_DISK)))
    say(f"{rows:,} rows: {run.seconds:.1f} s, {taken.rate:,.0f} rows/s")
    return taken


def _forget_peak(pid: int) -> None:
    """Let the kernel count a process's peak of memory anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def _peak_bytes(pid: int) -> int:
    """The most memory that a process has had since."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def cells(pools: Sequence[Sequence[Round]]) -> list[list[str]]:
    """The table's lines, one for each size with each pool."""
    return [
        [
            f"{one.rows:,}",
            f"{one.run.seconds:.1f}",
            f"{one.rate:,.0f}",
            f"{one.rows / one.run.stages['stager']:,.0f}",
            f"{one.rows / one.run.stages['upserter']:,.0f}",
            f"{one.run.peak_bytes / 1e6:,.0f} MB",
            f"{one.server_bytes / 1e6:,.0f} MB",
            f"{one.disk_bytes / 1e6:,.0f} MB",
            f"{one.pool_bytes / 2**20:,.0f} MiB",
        ]
        for rounds in pools
        for one in medians(rounds)
    ]


def show(pools: Sequence[Sequence[Round]]) -> None:
    """Print what was measured."""
    table = Table(title="First loads of growing size")
    for heading in HEADER:
        table.add_column(heading, justify="right")
    for line in cells(pools):
        table.add_row(*line)
    console = Console(width=160)
    console.print(table)
    for note in notes(pools):
        console.print(note, highlight=False)


def notes(pools: Sequence[Sequence[Round]]) -> list[str]:
    """How much of its rate the largest load keeps, as a list: the table shows medians only."""
    lines = [f"- Each line is the one with the middle rate of {len(pools[0])} rounds."]
    for rounds in pools:
        pool = f"{rounds[0][0].pool_bytes / 2**20:,.0f} MiB"
        found = sorted(shares(rounds))
        of_rounds = ", ".join(f"{one:.2f}" for one in found)
        middle = f"**{statistics.median(found):.2f}** of the rate of the one before it"
        lines.append(
            f"- {pool}: the largest load has {middle}; all rounds, the least first: {of_rounds}."
        )
    return lines


def drawn(pools: Sequence[Sequence[Round]]) -> str:
    """The rates as bars, a group for each pool."""
    groups = [
        chart.Group(
            f"a buffer pool of {rounds[0][0].pool_bytes / 2**20:,.0f} MiB",
            [_bar(one, medians(rounds)) for one in medians(rounds)],
        )
        for rounds in pools
    ]
    return chart.drawn("Rows a second of a first load, by its size", groups)


def _bar(one: Growth, sizes: Sequence[Growth]) -> chart.Bar:
    """The largest has a mark: where it has to come to beside the size before."""
    has_goal = one is sizes[-1] and len(sizes) > 1
    goal = LEAST_SHARE * sizes[-2].rate if has_goal else None
    return chart.Bar(f"{one.rows:,} rows", one.rate, f"{one.rate:,.0f} rows/s", goal=goal)


if __name__ == "__main__":
    sys.exit(main())
