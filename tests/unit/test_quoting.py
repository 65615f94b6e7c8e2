"""Names come into statements through one function, and it takes no name but a plain one."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from shared.mysql.quoting import is_plain, quoted
from tests.pages import ROOT

ROOMS = ("benchmarks", "crossdock", "infra", "services", "shared")
QUOTING = ROOT / "shared/mysql/quoting.py"
# A placeholder in quotes of its own: of MySQL's kind, or of standard SQL's.
QUOTED_PLACEHOLDER = re.compile(r"`\{\w*\}`|\"\{\w*\}\"")
BEFORE_A_NAME = re.compile(r"\b(FROM|INTO|JOIN|UPDATE|TABLE|VIEW|DATABASE|COLUMN|REFERENCES) $")


@pytest.mark.parametrize("name", ["customers", "staging_line_items", "X", "_1", "a" * 64])
def test_a_plain_name_is_quoted(name: str) -> None:
    assert quoted(name) == f"`{name}`"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "1a",
        "a" * 65,
        "a b",
        "a`b",
        "a``b",
        "`a`",
        "a.b",
        "a;b",
        "a-b",
        "a\0",
        "a\n",
        "a'",
        'a"',
        "a%s",
        "a{b}",
        "é",
        "\N{FULLWIDTH LATIN SMALL LETTER A}",
        "customers` WHERE 1=1 -- ",
    ],
)
def test_any_other_name_comes_into_no_statement(name: str) -> None:
    assert not is_plain(name)
    with pytest.raises(ValueError, match="no plain identifier"):
        quoted(name)


def named_by_hand(path: Path) -> Iterator[str]:
    """The strings of a module that take a name into a statement without `quoted`."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        match node:
            case ast.JoinedStr(values=parts):
                for before, after in pairwise(parts):
                    match before, after:
                        case ast.Constant(str(text)), ast.FormattedValue(value):
                            called = ast.unparse(value).startswith("quoted(")
                            if text.endswith("`") or (BEFORE_A_NAME.search(text) and not called):
                                yield ast.unparse(node)
            case ast.Constant(str(text)) if QUOTED_PLACEHOLDER.search(text):
                yield text


def test_no_other_code_puts_a_name_into_a_statement() -> None:
    modules = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    found = {
        path.relative_to(ROOT).as_posix(): names
        for path in modules
        if path != QUOTING and (names := list(named_by_hand(path)))
    }
    assert found == {}
    assert list(named_by_hand(QUOTING)) == ["f'`{name}`'"]


def test_nor_does_a_statement_round_a_placeholder() -> None:
    statements = [path for room in ROOMS for path in (ROOT / room).rglob("*.sql")]
    assert len(statements) > 10
    found = {
        path.relative_to(ROOT).as_posix(): names
        for path in statements
        if (names := QUOTED_PLACEHOLDER.findall(path.read_text(encoding="utf-8")))
    }
    assert found == {}
