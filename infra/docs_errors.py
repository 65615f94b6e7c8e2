"""Writes the list of codes in docs/errors.md from the catalogue: `python -m infra.docs_errors`."""

from itertools import groupby
from pathlib import Path

from shared.errors import catalogue

PAGE = Path(__file__).resolve().parents[1] / "docs" / "errors.md"
HEADING = "## The codes"


def render_codes() -> str:
    """Every code with its meaning and remedy, in the catalogue's order, a heading for each area."""
    parts = [HEADING]
    for area, entries in groupby(catalogue().values(), lambda entry: entry.code.partition(".")[0]):
        parts.append(f"### {area}")
        for entry in entries:
            parts.append(f"#### {entry.code}")
            parts.append(entry.meaning)
            parts.append(f"**What to do:** {entry.remedy}")
    return "\n\n".join(parts) + "\n"


def with_codes(page: str) -> str:
    """The page with its list of codes, which is its last section, written anew."""
    return page[: page.index(HEADING)] + render_codes()


if __name__ == "__main__":
    PAGE.write_text(with_codes(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
