"""`python -m tests.mutants`: seed bugs, one at a time, and see whether the tests tell."""

import argparse
import contextlib
import fnmatch
import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from crossdock.stack.errors import StackError
from tests.faults.__main__ import MYSQL_URL, PUBSUB_HOST, started_servers
from tests.mutants.page import write_table
from tests.mutants.patches import Mutant, mutants
from tests.mutants.trial import Trial, try_mutant, try_without

JOBS: Final = 2
DESCRIPTION = (
    "Apply each seeded bug to a copy of the tree and run the cases that have to catch it; before "
    "that the same cases without a bug, which have to pass. Exit 1 if a bug was not caught."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; 1 if a mutant survived, 3 if the tree fails without one."""
    parser = _options()
    options = parser.parse_args(arguments)
    if options.write and options.only:
        parser.error("the page tells of all mutants: leave out --only")
    chosen = [one for one in mutants() if _is_chosen(one, options.only)]
    if options.list:
        sys.stdout.writelines(f"{one.name}: {one.bug}\n" for one in chosen)
        return 0
    if not chosen:
        sys.stderr.write(f"no mutant matches {', '.join(options.only)}; --list names them all\n")
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended too
    began = time.monotonic()
    try:
        with _servers() as environment:
            if not _passes_without(chosen, environment):
                return 3
            trials = _try_all(chosen, environment, options.jobs)
    except StackError as missing:
        sys.stderr.write(f"{missing}\n")
        return 5
    told = _told(trials, time.monotonic() - began)
    if options.json:
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        _show(told)
    if options.write:
        write_table(trials)
    return 0 if told["caught"] == told["mutants"] else 1


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=DESCRIPTION)
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="GLOB",
        help="the mutants to run, by their names; may be repeated",
    )
    parser.add_argument(
        "--jobs", type=int, default=JOBS, metavar="N", help=f"how many side by side; {JOBS}"
    )
    parser.add_argument("--list", action="store_true", help="print names and bugs")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--write", action="store_true", help="write what caught each into docs/guarantees.md"
    )
    return parser


def _is_chosen(mutant: Mutant, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatch.fnmatchcase(mutant.name, one) for one in patterns)


@contextlib.contextmanager
def _servers() -> Iterator[Mapping[str, str]]:
    """Servers for all runs: what has to stand in their environment to be found."""
    with started_servers() as servers:
        yield {MYSQL_URL: servers.mysql_url, PUBSUB_HOST: servers.pubsub_host}


def _passes_without(chosen: Sequence[Mutant], environment: Mapping[str, str]) -> bool:
    failed = [one for one in try_without(chosen, environment) if one.caught or one.broken]
    for verdict in failed:
        reason = verdict.broken or ", ".join(verdict.caught_by)
        sys.stderr.write(f"without any bug the cases do not pass: {reason}\n")
    return not failed


def _try_all(chosen: Sequence[Mutant], environment: Mapping[str, str], jobs: int) -> list[Trial]:
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(try_mutant, one, environment) for one in chosen]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                trial = future.result()
                sys.stderr.write(f"{done} of {len(chosen)}: {trial.mutant.name}: {_end(trial)}\n")
        finally:
            pool.shutdown(cancel_futures=True)  # where it is broken off, nothing more begins
        return [future.result() for future in futures]


def _end(trial: Trial) -> str:
    return ", ".join(trial.verdict.caught_by) or trial.verdict.broken or "survived"


def _told(trials: Sequence[Trial], seconds: float) -> dict[str, Any]:
    return {
        "mutants": len(trials),
        "caught": sum(trial.verdict.caught for trial in trials),
        "seconds": round(seconds),
        "trials": [
            {
                "mutant": trial.mutant.name,
                "bug": trial.mutant.bug,
                "suite": trial.mutant.suite,
                "caught_by": trial.verdict.caught_by,
                "broken": trial.verdict.broken,
                "seconds": round(trial.seconds, 1),
            }
            for trial in trials
        ],
    }


def _show(told: Mapping[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    table = Table("mutant", "caught by")
    table.add_column("seconds", justify="right")
    for trial in told["trials"]:
        end = "\n".join(trial["caught_by"]) or trial["broken"] or "survived"
        table.add_row(trial["mutant"], end, f"{trial['seconds']:.0f}")
    console.print(table)
    minutes = told["seconds"] / 60
    console.print(f"mutants caught {told['caught']} of {told['mutants']}, {minutes:.1f} minutes")


if __name__ == "__main__":
    sys.exit(main())
