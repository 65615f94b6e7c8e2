"""Runs a mutant: a copy of the tree, the patch, and the cases that have to see it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.conftest import REPOSITORY
from tests.mutants.patches import Mutant, Suite
from tests.mutants.verdict import Verdict, of_faults, of_tests

LONGEST_SECONDS: Final = 900
LAST_WORDS_SECONDS: Final = 60
JUNIT: Final = "junit.xml"
WHERE: Final = "import shared, tests; print(shared.__path__[0], tests.__path__[0], sep='\\n')"


@dataclass(frozen=True, slots=True)
class Trial:
    """A mutant that was run, and what came of it."""

    mutant: Mutant
    verdict: Verdict
    seconds: float


@contextmanager
def applied(mutant: Mutant, tree: Path) -> Iterator[str | None]:
    """The tree with the bug in it; what git says where the patch does not fit, else None."""
    misfit = _git_apply(mutant, tree)
    try:
        yield misfit
    finally:
        if misfit is None:
            _git_apply(mutant, tree, "--reverse")


def try_mutant(mutant: Mutant, environment: Mapping[str, str]) -> Trial:
    """Seed one bug in a copy of the tree and see whether its cases fail."""
    began = time.monotonic()
    with copied_tree() as tree, applied(mutant, tree) as misfit:
        if misfit is None:
            verdict = run_cases(mutant.suite, mutant.cases, tree, environment)
        else:
            verdict = Verdict(broken=f"the patch does not apply: {misfit}")
    return Trial(mutant, verdict, time.monotonic() - began)


def try_without(mutants: Sequence[Mutant], environment: Mapping[str, str]) -> list[Verdict]:
    """The cases of all mutants where there is no bug: each must pass, or it catches nothing."""
    with copied_tree() as tree:
        return [
            run_cases(suite, cases, tree, environment)
            for suite in Suite
            if (cases := _cases(mutants, suite))
        ]


def run_cases(
    suite: Suite, cases: Iterable[str], tree: Path, environment: Mapping[str, str]
) -> Verdict:
    """Run cases of a tree by the code of that tree.

    Raises:
        AssertionError: this interpreter would run other code.
    """
    places = _run(["-c", WHERE], tree, environment)[1].split()
    assert [Path(place).parent for place in places] == [tree, tree], places
    if suite is Suite.FAULTS:
        only = [word for case in cases for word in ("--only", case)]
        return of_faults(*_run(["-m", "tests.faults", "--json", *only], tree, environment))
    told = tree / JUNIT
    options = ("-q", "-p", "no:cacheprovider", f"--junit-xml={told}")
    status, _ = _run(["-m", "pytest", *options, *cases], tree, environment)
    return of_tests(status, told.read_text(encoding="utf-8") if told.exists() else "")


@contextmanager
def copied_tree() -> Iterator[Path]:
    """What git knows or would take, as it lies here, in a folder that goes in the end."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    with tempfile.TemporaryDirectory(prefix="crossdock-mutant-") as folder:
        tree = Path(folder).resolve()
        for name in listed.split("\0"):
            if (REPOSITORY / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(REPOSITORY / name, tree / name)
        yield tree


def _cases(mutants: Sequence[Mutant], suite: Suite) -> list[str]:
    chosen = (case for mutant in mutants if mutant.suite is suite for case in mutant.cases)
    return list(dict.fromkeys(chosen))


def _git_apply(mutant: Mutant, tree: Path, *options: str) -> str | None:
    # The ceiling keeps git from taking a repository around the tree for the patch's own.
    done = subprocess.run(
        ["git", "apply", "-C1", *options],
        cwd=tree,
        input=mutant.diff,
        capture_output=True,
        text=True,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.parent)},
        check=False,
    )
    return None if done.returncode == 0 else done.stderr.strip()


def _run(arguments: Sequence[str], tree: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """The exit status and the output; what hangs is told to end, then ended."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=tree,
        env={**os.environ, **environment, "PYTHONPATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=LONGEST_SECONDS)
    except BaseException as error:
        process.send_signal(signal.SIGTERM)
        try:
            output, _ = process.communicate(timeout=LAST_WORDS_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
    return process.returncode, output
