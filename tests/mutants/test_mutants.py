"""Every patch fits the tree and names runs that exist; and only a test catches a mutant."""

import ast
import fnmatch
import json
import re
from pathlib import Path

import pytest

from tests.faults.__main__ import KINDS
from tests.faults.suite import BROKE_OFF
from tests.mutants.patches import Mutant, Suite, mutants
from tests.mutants.trial import applied, copied_tree
from tests.mutants.verdict import Verdict, of_faults, of_tests
from tests.pages import ROOT

SEED = 1
LEAST_MUTANTS = 20


def test_there_are_enough_mutants_and_their_numbers_have_no_gap() -> None:
    numbers = [int(mutant.name.partition("-")[0]) for mutant in mutants()]
    assert len(numbers) >= LEAST_MUTANTS
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_patch_applies_and_leaves_python() -> None:
    misfits: dict[str, str] = {}
    with copied_tree() as tree:
        for mutant in mutants():
            with applied(mutant, tree) as misfit:
                if misfit is not None:
                    misfits[mutant.name] = misfit
                for name in re.findall(r"^\+\+\+ b/(.+\.py)$", mutant.diff, re.MULTILINE):
                    compile((tree / name).read_text(encoding="utf-8"), name, "exec")
    assert misfits == {}


def test_a_patch_that_does_not_fit_says_so(tmp_path: Path) -> None:
    mutant = mutants()[0]
    with applied(mutant, tmp_path) as misfit:
        assert misfit is not None
        assert "No such file" in misfit


def test_every_mutant_is_run_by_cases_that_exist() -> None:
    ids = [case.id for kind in KINDS for case in kind.cases(SEED)]
    unknown = [
        (mutant.name, case)
        for mutant in mutants()
        for case in mutant.cases
        if not (fnmatch.filter(ids, case) if mutant.suite is Suite.FAULTS else has_test(case))
    ]
    assert unknown == []


def has_test(node_id: str) -> bool:
    """Whether a file has a test of that name, with whatever parameters."""
    path, _, name = node_id.partition("[")[0].partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return name in {node.name for node in tree.body if isinstance(node, functions)}


@pytest.mark.parametrize("head", ["", "Bug: b\nRun: faults\n", "Bug: b\nRun: nobody x\n", "b\nc\n"])
def test_a_patch_without_its_two_lines_is_refused(tmp_path: Path, head: str) -> None:
    path = tmp_path / "01-bug.patch"
    path.write_text(f"{head}--- a/x\n+++ b/x\n", encoding="utf-8")
    with pytest.raises(ValueError):
        Mutant.read(path)


def faults(*violations: tuple[str, str]) -> str:
    told = [{"oracle": oracle, "detail": detail} for oracle, detail in violations]
    return json.dumps({"divergences": [{"violations": told}] if told else []})


def junit(body: str) -> str:
    return f'<testsuites><testsuite><testcase name="t">{body}</testcase></testsuite></testsuites>'


@pytest.mark.parametrize(
    ("verdict", "caught_by", "is_broken"),
    [
        (of_faults(0, faults()), (), False),
        (of_faults(1, faults(("fences_rise", "x"), ("fences_rise", "y"))), ("fences_rise",), False),
        (of_faults(1, faults((BROKE_OFF, "x"), ("legal_history", "y"))), ("legal_history",), False),
        (of_faults(1, faults((BROKE_OFF, "EOFError: x"))), (), True),
        (of_faults(1, faults(("comes_to_its_end", "last_error NameError: x"))), (), True),
        (of_faults(5, "no server"), (), True),
        (of_tests(0, junit("")), (), False),
        (of_tests(1, junit('<failure message="assert 1 == 2"/>')), ("t",), False),
        (of_tests(1, junit('<failure message="ImportError: x"/>')), (), True),
        (of_tests(1, junit('<failure message="Failed: Timeout (&gt;120.0s)"/>')), (), True),
        (of_tests(1, junit('<error message="fixture"/>')), (), True),
        (of_tests(4, ""), (), True),
    ],
)
def test_a_mutant_is_caught_by_an_oracle_or_a_test_and_not_by_a_crash(
    verdict: Verdict, caught_by: tuple[str, ...], is_broken: bool
) -> None:
    assert verdict.caught_by == caught_by
    assert (verdict.broken is not None) == is_broken
