"""How one MySQL server bears several partners at once: `python -m benchmarks.partners_at_once`.

    python -m benchmarks.partners_at_once [CUSTOMERS]

Eleven rows come with each customer. One, two and four partners bring a drop each at the same time,
every one by `crossdock run` in a process of its own, on one server with durable settings, which is
started in a temporary folder and removed. Processor seconds are told beside the clock's, because
they say what a row costs also on a machine that has other work.
"""

import asyncio
import os
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.loads import EPOCH
from crossdock.pack import pack
from crossdock.stack import mysql_server
from infra.local.sample import generate
from shared.mysql.migrate import migrate

PARTNERS = (1, 2, 4)
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Round:
    """What one round took: rows of all partners, seconds by the clock, processor seconds."""

    partners: int
    rows: int
    seconds: float
    mysql_cpu_seconds: float
    stages_cpu_seconds: float


def server_cpu_seconds(pid: int) -> float:
    """What a process has used so far; its name, in brackets, may hold spaces."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def children_cpu_seconds() -> float:
    """What processes that were waited for have used so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def write_drops(root: Path, partners: int, customers: int) -> tuple[list[Path], int]:
    """One drop for each partner, each with rows of its own; returns the folders and all rows."""
    folders, rows = [], 0
    for number in range(partners):
        name = f"p{partners}-{number}"
        folder = root / "imports" / name / f"load-{name}"
        rows += sum(generate(folder, seed=partners * 10 + number, customers=customers).values())
        pack(folder, folder.name, name, EPOCH)
        folders.append(folder)
    return folders, rows


async def load_at_once(folders: list[Path], url: str) -> None:
    """Every drop by a process of its own."""
    environment = {**os.environ, "CROSSDOCK_MYSQL_URL": url}
    running = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "crossdock", "run", str(folder), "--json"),
            env=environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        for folder in folders
    ]
    for process in running:
        _, errors = await process.communicate()
        if process.returncode:
            raise SystemExit(errors.decode())


def measure(root: Path, server: mysql_server.MySQLInstance, customers: int) -> list[Round]:
    rounds = []
    for partners in PARTNERS:
        folders, rows = write_drops(root, partners, customers)
        mysql_before, stages_before = server_cpu_seconds(server.pid), children_cpu_seconds()
        began = time.perf_counter()
        asyncio.run(load_at_once(folders, server.url))
        seconds = time.perf_counter() - began
        mysql_cpu = server_cpu_seconds(server.pid) - mysql_before
        stages_cpu = children_cpu_seconds() - stages_before
        rounds.append(Round(partners, rows, seconds, mysql_cpu, stages_cpu))
    return rounds


def show(rounds: list[Round]) -> None:
    table = Table(title=f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    headings = ("partners", "rows", "seconds", "rows/s", "rows/s each")
    for heading in (*headings, "MySQL CPU µs/row", "stages CPU µs/row", "rows/s of a MySQL core"):
        table.add_column(heading, justify="right")
    for one in rounds:
        rate = one.rows / one.seconds
        table.add_row(
            str(one.partners),
            f"{one.rows:,}",
            f"{one.seconds:.1f}",
            f"{rate:,.0f}",
            f"{rate / one.partners:,.0f}",
            f"{one.mysql_cpu_seconds / one.rows * 1e6:.0f}",
            f"{one.stages_cpu_seconds / one.rows * 1e6:.0f}",
            f"{one.rows / one.mysql_cpu_seconds:,.0f}",
        )
    Console(width=120).print(table)


def main(customers: int) -> None:
    with tempfile.TemporaryDirectory(prefix="crossdock-benchmark-") as folder:
        state_dir = Path(folder) / "stack"
        try:
            server = mysql_server.ensure_started(state_dir)
            asyncio.run(migrate(server.url))
            rounds = measure(Path(folder) / "bucket", server, customers)
        finally:
            mysql_server.stop(state_dir)
        show(rounds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000)
