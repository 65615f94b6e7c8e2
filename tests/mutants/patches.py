"""Seeded bugs, each a patch that says in two lines what it breaks and which run has to see it."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

FOLDER: Final = Path(__file__).resolve().parent


class Suite(StrEnum):
    """What a mutant is run against: cases of the fault suite by their ids, or single tests."""

    FAULTS = "faults"
    TESTS = "tests"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One bug.

    Attributes:
        name: the patch's name without its ending.
        bug: what is wrong, as a clause.
        suite: what has to catch it.
        cases: globs of case ids, or node ids of tests.
        diff: the patch, for a tree's root.
    """

    name: str
    bug: str
    suite: Suite
    cases: tuple[str, ...]
    diff: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a patch with its two lines of head.

        Raises:
            ValueError: a line of the head is missing, or names no suite or no case.
        """
        bug, run, diff = path.read_text(encoding="utf-8").split("\n", 2)
        suite, *cases = run.removeprefix("Run: ").split()
        if not (bug.startswith("Bug: ") and run.startswith("Run: ") and cases):
            raise ValueError(f"{path.name}: it has to begin with `Bug: …` and `Run: SUITE CASE …`")
        return cls(path.stem, bug.removeprefix("Bug: "), Suite(suite), tuple(cases), diff)


def mutants() -> list[Mutant]:
    """All of them, by their numbers."""
    return [Mutant.read(path) for path in sorted(FOLDER.glob("*.patch"))]
