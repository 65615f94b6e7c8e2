"""The project's pages as a reader sees them: sections, tables, code, and the words in backticks."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_CELL_BORDER = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"[\s|:-]+")
_QUOTED = re.compile(r"`([^`\n]+)`")

Row = dict[str, str]


def page(name: str) -> str:
    """A page by its path from the repository's root."""
    return (ROOT / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands under a heading, to the next one of its level or above."""
    level = len(heading.partition(" ")[0])
    pattern = rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{level}}} |\Z)"
    found = re.search(pattern, text, re.DOTALL | re.MULTILINE)
    assert found is not None, f"no heading {heading!r}"
    return found[1]


def tables(text: str) -> list[list[Row]]:
    """Every table, each row by the names of its header."""
    found: list[list[Row]] = []
    lines: list[list[str]] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            lines.append([cell.strip() for cell in _CELL_BORDER.split(line)[1:-1]])
        elif lines:
            header, rule, *rows = lines
            assert all(map(_RULE.fullmatch, rule)), f"{header} has no rule below it"
            found.append([dict(zip(header, row, strict=True)) for row in rows])
            lines = []
    return found


def table(text: str) -> list[Row]:
    """The one table of a section."""
    (found,) = tables(text)
    return found


def column(rows: list[Row], name: str) -> list[str]:
    """One column of a table, without backticks around its cells."""
    return [unquoted(row[name]) for row in rows]


def unquoted(cell: str) -> str:
    """A cell's text without the backticks around all of it."""
    found = _QUOTED.fullmatch(cell)
    return found[1] if found else cell


def quoted(text: str) -> list[str]:
    """The words in backticks, in order."""
    return _QUOTED.findall(text)


def code(text: str, language: str) -> list[str]:
    """The blocks of code in a language, each with its last line break."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def headings(text: str) -> list[str]:
    """The lines of a page that are headings, with their signs; lines of code are none."""
    without_code = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"^#{1,6} .+$", without_code, re.MULTILINE)


def slug(heading: str) -> str:
    """The anchor by which a link finds a heading."""
    words = re.sub(r"[^\w\s-]", "", heading.lstrip("# ").lower())
    return words.strip().replace(" ", "-")


def anchors(text: str) -> list[str]:
    """The anchors of a page, in order."""
    return [slug(heading) for heading in headings(text)]
