"""The long proofs: `python -m tests.proof [--seed N] [--only NAME] [--json]`, or `make proof`.

Each compares two readings of one rule on seeded cases and ends with its totals; the giants are
measured. The cases of a seed are always the same. Exit 1 if anything differs.
"""

import argparse
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing import get_context
from typing import Any

import pymysql
from rich.console import Console
from rich.table import Table

from crossdock.stack import mysql_server
from shared.mysql.connect import MySQLAddress
from tests.pages import ROOT
from tests.proof import csvs, giants, packages, rows
from tests.proof.tally import Compare, Tally

PROCESSES = 2
SLICES = 10  # so that the two processes end at about the same time
COMPARISONS: dict[str, tuple[Compare, int]] = {
    "packages": (packages.compare, packages.TOTAL),
    "csvs": (csvs.compare, csvs.TOTAL),
    "rows": (rows.compare, rows.TOTAL),
}
MOST_SHOWN = 20

Document = dict[str, Any]


def prove(name: str, server_url: str, seed: int) -> Document:
    """All cases of one comparison, by PROCESSES processes."""
    compare, total = COMPARISONS[name]
    size = -(-total // SLICES)
    numbers = [range(start, min(start + size, total)) for start in range(0, total, size)]
    began, tally = time.monotonic(), Tally()
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        for done in as_completed(pool.submit(compare, server_url, seed, it) for it in numbers):
            tally.join(done.result())
            say(f"{name}: {tally.cases:,} of {total:,}, {len(tally.disagreements)} differ")
    return {
        "cases": tally.cases,
        "disagreements": tally.disagreements,
        "outcomes": dict(tally.outcomes.most_common()),
        "seconds": round(time.monotonic() - began),
    }


def measure_giants(server_url: str) -> Document:
    """Every giant at its full size."""
    began, measured, faults = time.monotonic(), {}, list[str]()
    for giant in giants.GIANTS:
        say(f"giants: {giant.name}")
        found = giants.measure(giant, server_url, giants.GIGABYTE)
        measured[giant.name] = asdict(found)
        faults += giant.faults(found)
    return {
        "cases": len(measured),
        "disagreements": faults,
        "measured": measured,
        "seconds": round(time.monotonic() - began),
    }


def show(name: str, proof: Document) -> None:
    """Print one proof for a person."""
    console = Console(highlight=False)
    differ = proof["disagreements"]
    table = Table("outcome", title=f"{name}: {proof['cases']:,} cases, {len(differ)} differ")
    table.add_column("cases", justify="right")
    for outcome, cases in proof.get("outcomes", {}).items():
        table.add_row(outcome, f"{cases:,}")
    if "measured" in proof:
        table = Table("giant", "verdict", title=f"{name}: {len(differ)} not as they must be")
        for column in ("rows", "seconds", "peak MB"):
            table.add_column(column, justify="right")
        for giant, it in proof["measured"].items():
            peak = f"{it['peak_megabytes']:,}"
            table.add_row(giant, it["verdict"], f"{it['rows']:,}", f"{it['seconds']:,}", peak)
    console.print(table)
    console.print(f"{proof['seconds']:,} seconds\n")
    for line in differ[:MOST_SHOWN]:
        console.print(line, markup=False)


def say(line: str) -> None:
    """Tell on stderr how far it is."""
    print(f"proof: {line}", file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def own_server() -> Iterator[str]:
    """The URL of a MySQL server that is removed when this is left.

    It flushes no commit to the disk: what is compared here does not outlive it.
    """
    folder = ROOT / ".crossdock" / f"proof-{os.getpid()}"
    folder.mkdir(parents=True)
    try:
        url = mysql_server.ensure_started(folder, progress=say).url
        with pymysql.connect(**MySQLAddress.parse(url).arguments()) as connection:
            cursor = connection.cursor()
            cursor.execute("SET GLOBAL sync_binlog = 0")
            cursor.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
        yield url
    finally:
        mysql_server.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Run what was asked for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--only", choices=[*COMPARISONS, "giants"])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    asked = parser.parse_args()
    say(f"seed {asked.seed}")
    proofs: dict[str, Document] = {}
    with own_server() as server_url:
        for name in [asked.only] if asked.only else [*COMPARISONS, "giants"]:
            is_giants = name == "giants"
            proofs[name] = (
                measure_giants(server_url) if is_giants else prove(name, server_url, asked.seed)
            )
            if not asked.json:
                show(name, proofs[name])
    if asked.json:
        print(json.dumps({"seed": asked.seed, **proofs}, indent=2))  # noqa: T201
    return int(any(proof["disagreements"] for proof in proofs.values()))


if __name__ == "__main__":
    sys.exit(main())
