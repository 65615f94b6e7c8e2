"""docs/guarantees.md against the fault suite, its oracles, the steps and the mutants."""

import ast
import re

from shared.steps import STEPS
from tests.faults.__main__ import KINDS
from tests.faults.oracles import ORACLES
from tests.mutants.patches import mutants
from tests.pages import ROOT, column, page, quoted, section, table, tables

PAGE = page("docs/guarantees.md")
SEED = 1


def named_violations() -> set[str]:
    """What the fault suite's modules call a violation by a name of its own."""
    names: set[str] = set()
    for path in (ROOT / "tests" / "faults").glob("[!_t]*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Violation" and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    names.add(str(first.value))
    return names


def test_runs_and_boundaries_are_those_of_the_fault_suite() -> None:
    rows = tables(section(PAGE, "## What is tested"))[0]
    told = [(row["kind"].strip("`"), row["runs"], row["boundaries"]) for row in rows]
    assert told == [
        (kind.name, f"{len(kind.cases(SEED)):,}", f"{kind.boundaries:,}") for kind in KINDS
    ]


def test_every_oracle_stands_on_the_page() -> None:
    told = column(table(section(PAGE, "### Oracles")), "oracle")
    assert told[: len(ORACLES)] == [oracle.__name__ for oracle in ORACLES]
    assert named_violations() <= set(told)


def test_every_oracle_stands_in_the_module_that_the_page_names() -> None:
    for row in table(section(PAGE, "### Oracles")):
        (oracle,), (module,) = quoted(row["oracle"]), quoted(row["in `tests/faults`"])
        text = (ROOT / "tests" / "faults" / module).read_text(encoding="utf-8")
        assert f"def {oracle}(" in text or f'"{oracle}"' in text
        assert (module == "oracles.py") is (oracle in {one.__name__ for one in ORACLES})


def test_how_many_mutants_no_oracle_sees_is_told() -> None:
    rows = tables(section(PAGE, "### Mutants"))[0]
    oracles = set(column(table(section(PAGE, "### Oracles")), "oracle"))
    unseen = [row for row in rows if not oracles & set(quoted(row["caught by"]))]
    assert f"{len(unseen)} of the {len(rows)} are not seen by any oracle" in " ".join(PAGE.split())


def test_the_steps_are_those_that_are_logged() -> None:
    rows = table(section(PAGE, "### Steps"))
    told = {row["room"]: re.findall(r"(\d+) `(\w+)`", row["steps"]) for row in rows}
    assert told == {
        room: [(str(number), step) for number, step in enumerate(steps, start=1)]
        for room, steps in STEPS.items()
    }


def test_the_mutants_are_those_of_the_patches_and_each_was_caught() -> None:
    rows = tables(section(PAGE, "### Mutants"))[0]
    told = list(zip(column(rows, "mutant"), (row["bug"] for row in rows), strict=True))
    assert told == [(mutant.name, mutant.bug) for mutant in mutants()]
    assert [row["mutant"] for row in rows if not quoted(row["caught by"])] == []


def test_promises_are_numbered_without_a_gap() -> None:
    numbers = re.findall(r"^(\d+)\. ", section(PAGE, "## What is promised"), re.MULTILINE)
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
