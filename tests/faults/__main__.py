"""`python -m tests.faults`: strike the real parts at every boundary, and count what came of it."""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog
from rich.console import Console
from rich.table import Table

from crossdock.stack import mysql_server, pubsub_emulator
from crossdock.stack.errors import StackError
from tests.faults.outages import MYSQL_KILLED, PUBSUB_RESTARTED
from tests.faults.reads_matrix import READS_MATRIX
from tests.faults.seeded_kinds import LEDGER_LIVES, SCHEDULES
from tests.faults.statements_matrix import STATEMENTS_MATRIX
from tests.faults.steps_matrix import StepsMatrix
from tests.faults.suite import AnyKind, Case, Result, Servers, chosen, run_kind

KINDS: tuple[AnyKind, ...] = (
    StepsMatrix(),
    MYSQL_KILLED,
    PUBSUB_RESTARTED,
    STATEMENTS_MATRIX,
    READS_MATRIX,
    SCHEDULES,
    LEDGER_LIVES,
)
MYSQL_URL = "CROSSDOCK_TEST_MYSQL_URL"
PUBSUB_HOST = "CROSSDOCK_TEST_PUBSUB_HOST"
DESCRIPTION = (
    "Run every fault, or those that --only chooses, against the real parts, and hold the ends "
    "against quiet days. Exit 1 if one diverged, or if a boundary was never reached."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; 1 if anything diverged or was never reached."""
    options = _options().parse_args(arguments)
    plan = [(kind, chosen(kind, options.seed, options.only)) for kind in KINDS]
    if options.list:
        sys.stdout.writelines(f"{case.id}\n" for _, cases in plan for case in cases)
        return 0
    if not any(cases for _, cases in plan):
        sys.stderr.write(f"no case matches {', '.join(options.only)}; --list names them all\n")
        return 2
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    began = time.monotonic()
    try:
        ran = asyncio.run(_run(plan, options))
    except StackError as missing:
        sys.stderr.write(f"{missing}\n")
        return 5
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.stderr.write("stopped; all that was started is ended\n")
        return 1
    told = _told(ran, options, time.monotonic() - began)
    if options.json:
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        _show(told)
    missed = any(kind["unreached"] for kind in told["kinds"].values())
    return 1 if told["divergences"] or missed else 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=DESCRIPTION)
    parser.add_argument("--seed", type=int, default=1, help="of all dice; 1 if left out")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="GLOB",
        help="the cases to run, by their ids; may be repeated",
    )
    parser.add_argument("--lanes", type=int, metavar="N", help="how many cases side by side")
    parser.add_argument("--list", action="store_true", help="print the ids of the cases")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


async def _run(
    plan: Sequence[tuple[AnyKind, Sequence[Case]]], options: argparse.Namespace
) -> list[tuple[AnyKind, list[Result]]]:
    ran: list[tuple[AnyKind, list[Result]]] = []
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    with started_servers() as servers:
        for kind, cases in plan:
            if cases:
                progress = _Progress(kind.name, len(cases))
                results = await run_kind(kind, cases, servers, options.lanes, progress.tell)
                ran.append((kind, results))
    return ran


@contextlib.contextmanager
def started_servers() -> Iterator[Servers]:
    """A MySQL server and a Pub/Sub emulator, in a folder that goes in the end.

    Those that MYSQL_URL and PUBSUB_HOST name are used; else they are the suite's own.

    Raises:
        StackError: one of them does not start, or is not installed.
    """
    folder = Path(tempfile.mkdtemp(prefix="crossdock-faults-"))
    try:
        mysql_url = os.environ.get(MYSQL_URL) or mysql_server.ensure_started(folder).url
        pubsub_host = os.environ.get(PUBSUB_HOST) or pubsub_emulator.ensure_started(folder).host
        yield Servers(folder, mysql_url, pubsub_host)
    finally:
        pubsub_emulator.stop(folder)
        mysql_server.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


class _Progress:
    """A line on a terminal, and a line for good where something diverged."""

    def __init__(self, name: str, cases: int) -> None:
        self._name, self._cases, self._done = name, cases, 0

    def tell(self, result: Result) -> None:
        self._done += 1
        for violation in result.violations:
            line = f"{result.case.id}: {violation.oracle}: {violation.detail}"
            sys.stderr.write(f"{line}\n")
        if sys.stderr.isatty():
            end = "\n" if self._done == self._cases else "\r"
            sys.stderr.write(f"{self._name}: {self._done} of {self._cases}{end}")
        sys.stderr.flush()


def _told(
    ran: Sequence[tuple[AnyKind, Sequence[Result]]], options: argparse.Namespace, seconds: float
) -> dict[str, Any]:
    return {
        "seed": options.seed,
        "seconds": round(seconds, 1),
        "kinds": {
            kind.name: {
                "runs": len(found),
                "divergences": sum(1 for result in found if result.violations),
                "boundaries": kind.boundaries,
                "unreached": _unreached(kind, found, options.seed),
                "case_seconds": round(sum(result.seconds for result in found), 1),
            }
            for kind, found in ran
        },
        "divergences": [
            {
                "case": result.case.id,
                "violations": [asdict(one) for one in result.violations],
                "again": _again(options.seed, result.case),
            }
            for _, found in ran
            for result in found
            if result.violations
        ],
    }


def _unreached(kind: AnyKind, found: Sequence[Result], seed: int) -> list[str] | None:
    """What the whole kind never struck; None of a part of its cases, which cannot reach it all."""
    is_whole = len(found) == len(kind.cases(seed))
    return list(kind.unreached(found)) if is_whole else None


def _again(seed: int, case: Case) -> str:
    return f"make faults ARGS={shlex.quote(f'--seed {seed} --only {case.id}')}"


def _show(told: Mapping[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    table = Table("kind")
    for heading in ("runs", "boundaries reached", "divergences", "seconds a run"):
        table.add_column(heading, justify="right")
    for name, kind in told["kinds"].items():
        missed, all_of_them = kind["unreached"], kind["boundaries"]
        reached = "" if missed is None else f"{all_of_them - len(missed)} of {all_of_them}"
        seconds = f"{kind['case_seconds'] / kind['runs']:.1f}"
        table.add_row(name, f"{kind['runs']:,}", reached, str(kind["divergences"]), seconds)
    console.print(table)
    for name, kind in told["kinds"].items():
        for boundary in kind["unreached"] or ():
            console.print(f"never reached: {name} {boundary}", markup=False)
    for divergence in told["divergences"]:
        console.print(f"diverged: {divergence['case']}", markup=False)
        for violation in divergence["violations"]:
            console.print(f"  {violation['oracle']}: {violation['detail']}", markup=False)
        console.print(f"  again: {divergence['again']}", markup=False)
    runs = sum(kind["runs"] for kind in told["kinds"].values())
    console.print(
        f"{runs:,} runs, {len(told['divergences'])} divergences, seed {told['seed']}, "
        f"{told['seconds'] / 60:.1f} minutes"
    )


if __name__ == "__main__":
    sys.exit(main())
