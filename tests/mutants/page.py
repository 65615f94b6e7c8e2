"""The table of mutants in docs/guarantees.md, written by the run that caught them."""

from collections.abc import Sequence
from typing import Final

from tests.mutants.trial import Trial
from tests.pages import ROOT

PAGE: Final = ROOT / "docs" / "guarantees.md"
BEGIN: Final = "<!-- mutants: written by `make mutants ARGS=--write` -->\n"
END: Final = "<!-- end of mutants -->\n"


def rendered(trials: Sequence[Trial]) -> str:
    """The table, a row for each mutant."""
    rows = [
        f"| `{trial.mutant.name}` | {trial.mutant.bug} | {_caught_by(trial)} |" for trial in trials
    ]
    return "\n".join(["| mutant | bug | caught by |", "|---|---|---|", *rows, ""])


def write_table(trials: Sequence[Trial]) -> None:
    """Put the table in the place of the one that stands.

    Raises:
        ValueError: the page lacks one of the two marks.
    """
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    PAGE.write_text(f"{head}{BEGIN}{rendered(trials)}{END}{tail}", encoding="utf-8")


def _caught_by(trial: Trial) -> str:
    return ", ".join(f"`{name}`" for name in trial.verdict.caught_by) or "nothing"
