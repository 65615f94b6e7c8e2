"""The rules of a row, declared once and rendered both to Python and to MySQL.

A rule is a code, the columns that it applies to, and one test in two languages. The order of the
rules is the order of the codes: a row gets the first code that any of its columns earns, and within
that code the first column. SQL text of this module holds no percent sign and no backslash, so it
passes through a driver's formatting and any sql_mode unchanged.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Final

from shared.contracts import notation
from shared.contracts.model import Column, Entity, Kind
from shared.mysql.quoting import quoted

MOST_ROWS_NAMED: Final = 10

WHITE_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


@dataclass(frozen=True, slots=True)
class Violation:
    """The code that a row earned, and the column that earned it."""

    code: str
    column: str


def first_violation(entity: Entity, fields: Sequence[str]) -> Violation | None:
    """What is wrong with a row by itself, or None.

    Args:
        entity: whose row it is.
        fields: one text for each of the entity's columns, in their order.
    """
    for position, broken, violation in _tests(entity):
        if broken(fields[position]):
            return violation
    return None


def violation_sql(entity: Entity, alias: str) -> str:
    """`first_violation` as an expression over the staging row `alias`.

    It gives NULL, or the code and the column with a space between them. Nearly every row is in
    order and leaves by the first WHEN, which costs half as much as all the rules in turn.
    """
    verdicts = [
        f"WHEN {rule.broken_sql(column, _value(column, alias))} THEN '{rule.code} {column.name}'"
        for rule in _RULES
        for column in entity.columns
        if rule.applies(entity, column)
    ]
    return f"CASE WHEN {_in_order_sql(entity, alias)} THEN NULL {' '.join(verdicts)} END"


def violation_message(entity: Entity, violation: Violation) -> str:
    """The violation in a sentence that names the column and what it takes, never the row's value.

    Raises:
        KeyError: the entity has no such column, or the code is none of this module's.
    """
    return _MESSAGES[violation.code](entity.column(violation.column))


def typed_sql(column: Column, alias: str) -> str:
    """The typed value of a staging text that breaks no rule, or NULL if it is empty.

    Texts keep every byte; timestamps become the UTC moment. No warning, whatever the sql_mode.
    """
    value = f"NULLIF({_value(column, alias)}, '')"
    match column.kind:
        case Kind.TEXT:
            return value
        case Kind.INT:
            return f"CAST({value} AS SIGNED)"
        case Kind.DECIMAL:
            return f"CAST({value} AS DECIMAL({column.size},{column.scale}))"
        case Kind.DATE:
            return f"CAST({value} AS DATE)"
        case Kind.TIMESTAMP:
            return _utc_sql(value)


def column_ddl(column: Column) -> str:
    """The column's type in a production table, with NULL or NOT NULL."""
    types = {
        Kind.TEXT: f"VARCHAR({column.size})",
        Kind.INT: "BIGINT",
        Kind.DECIMAL: f"DECIMAL({column.size},{column.scale})",
        Kind.DATE: "DATE",
        Kind.TIMESTAMP: "DATETIME(6)",
    }
    return f"{types[column.kind]} {'NOT NULL' if column.required else 'NULL'}"


@dataclass(frozen=True, slots=True)
class _Rule:
    """`broken` and `broken_sql` tell the same of a value; later rules rely on the earlier ones."""

    code: str
    applies: Callable[[Entity, Column], bool]
    broken: Callable[[Column], Callable[[str], bool]]
    broken_sql: Callable[[Column, str], str]


def _form(column: Column) -> str:
    """The pattern of a value in the form of the column's type, of any size."""
    return {
        Kind.INT: notation.INT,
        Kind.DECIMAL: notation.DECIMAL,
        Kind.DATE: notation.DATE,
        Kind.TIMESTAMP: notation.TIMESTAMP,
    }[column.kind]


def _fit(column: Column) -> str:
    """The pattern of a value in the form of the column's type that the column can take."""
    if column.kind is Kind.DECIMAL:
        decimals = f"(?:[.][0-9]{{1,{column.scale}}})?" if column.scale else ""
        return f"[+-]?[0-9]{{1,{column.size - column.scale}}}{decimals}"
    return {
        Kind.INT: notation.INT_64_BITS,
        Kind.DATE: notation.DATE,
        Kind.TIMESTAMP: notation.TIMESTAMP_IN_MICROSECONDS,
    }[column.kind]


def _differs(pattern: str) -> Callable[[str], bool]:
    matches = re.compile(pattern).fullmatch
    return lambda text: text != "" and matches(text) is None


def _differs_sql(pattern: str, value: str) -> str:
    return f"{value} <> '' AND NOT {_matches_sql(pattern, value)}"


def _matches_sql(pattern: str, value: str) -> str:
    """Whether all of the value matches; `$` would overlook a line break at its end."""
    return f"({value} REGEXP '(?s)^(?:{pattern})(?!.)')"


def _edge_is_white_space_sql(value: str) -> str:
    characters = ", ".join(f"_utf8mb4 0x{character.encode().hex()}" for character in WHITE_SPACE)
    return f"(LEFT({value}, 1) IN ({characters}) OR RIGHT({value}, 1) IN ({characters}))"


_RULES: Final = (
    _Rule(
        "row.required",
        applies=lambda _entity, column: column.required,
        broken=lambda _column: lambda text: not text,
        broken_sql=lambda _column, value: f"COALESCE({value}, '') = ''",
    ),
    _Rule(
        "row.key_whitespace",
        applies=lambda entity, column: column.name == entity.key,
        broken=lambda _column: lambda text: text[0] in WHITE_SPACE or text[-1] in WHITE_SPACE,
        broken_sql=lambda _column, value: _edge_is_white_space_sql(value),
    ),
    _Rule(
        "row.too_long",
        applies=lambda _entity, column: column.kind is Kind.TEXT,
        broken=lambda column: lambda text: len(text) > column.size,
        broken_sql=lambda column, value: f"CHAR_LENGTH({value}) > {column.size}",
    ),
    _Rule(
        "row.type",
        applies=lambda _entity, column: column.kind is not Kind.TEXT,
        broken=lambda column: _differs(_form(column)),
        broken_sql=lambda column, value: _differs_sql(_form(column), value),
    ),
    _Rule(
        "row.range",
        applies=lambda _entity, column: column.kind is not Kind.TEXT,
        broken=lambda column: _differs(_fit(column)),
        broken_sql=lambda column, value: _differs_sql(_fit(column), value),
    ),
)

_FORMS: Final = {
    Kind.INT: "an integer: optional sign and digits",
    Kind.DECIMAL: "a number: optional sign, digits, and at most one point between digits",
    Kind.DATE: "a date that exists, as YYYY-MM-DD",
    Kind.TIMESTAMP: "an RFC 3339 timestamp with a zone",
}

_MESSAGES: Final[dict[str, Callable[[Column], str]]] = {
    "row.required": lambda column: f"{column.name} is empty, but must have a value",
    "row.key_whitespace": lambda column: f"{column.name} begins or ends with white space",
    "row.too_long": lambda column: f"{column.name} has more than {column.size} characters",
    "row.type": lambda column: f"{column.name} is not {_FORMS[column.kind]}",
    "row.range": lambda column: f"{column.name} does not fit: {_limits(column)}",
}


def _limits(column: Column) -> str:
    if column.kind is Kind.DECIMAL:
        return (
            f"at most {column.size - column.scale} digits before the point "
            f"and {column.scale} after it"
        )
    return {
        Kind.INT: f"from {-(2**63)} to {2**63 - 1}",
        Kind.TIMESTAMP: "at most microseconds, in the years 1 to 9999 of UTC",
    }[column.kind]


@cache
def _tests(entity: Entity) -> tuple[tuple[int, Callable[[str], bool], Violation], ...]:
    return tuple(
        (position, rule.broken(column), Violation(rule.code, column.name))
        for rule in _RULES
        for position, column in enumerate(entity.columns)
        if rule.applies(entity, column)
    )


def _value(column: Column, alias: str) -> str:
    return f"{quoted(alias)}.{quoted(column.name)}"


def _in_order_sql(entity: Entity, alias: str) -> str:
    """Whether a row breaks no rule, told by one test a column."""
    key = _edge_is_white_space_sql(_value(entity.column(entity.key), alias))
    tests = [_is_in_order_sql(column, _value(column, alias)) for column in entity.columns]
    return " AND ".join((*tests, f"NOT {key}"))


def _is_in_order_sql(column: Column, value: str) -> str:
    if column.kind is Kind.TEXT:
        return f"CHAR_LENGTH({value}) BETWEEN {int(column.required)} AND {column.size}"
    return _matches_sql(_fit(column) if column.required else f"(?:{_fit(column)})?", value)


def _utc_sql(value: str) -> str:
    is_zulu = f"RIGHT({value}, 1) IN ('Z', 'z')"
    local = f"LEFT({value}, CHAR_LENGTH({value}) - IF({is_zulu}, 1, 6))"
    moment = f"CAST(CONCAT(LEFT({local}, 10), ' ', SUBSTRING({local}, 12)) AS DATETIME(6))"
    offset = f"IF({is_zulu}, '+00:00', RIGHT({value}, 6))"
    minutes = f"(LEFT({offset}, 3) * 60 + CONCAT(LEFT({offset}, 1), RIGHT({offset}, 2)))"
    return f"({moment} - INTERVAL {minutes} MINUTE)"


def copies_message(entity: Entity, row_no: int, copy_rows: Iterable[int], copies: int) -> str:
    """What a partner reads of `row.duplicate_key`: the other rows, the first few by number.

    Args:
        entity: whose key it is.
        row_no: the row that is told of.
        copy_rows: the first rows with the key, in order; this one may be among them.
        copies: how many rows have the key, this one counted.
    """
    others = list(islice((row for row in copy_rows if row != row_no), MOST_ROWS_NAMED))
    unnamed = copies - 1 - len(others)
    named = ", ".join(map(str, others)) + (f" and {unnamed} more" if unnamed else "")
    return f"{entity.key} stands in other rows too: {named}"


def parent_rejected_message(entity: Entity) -> str:
    """What a partner reads of `row.parent_rejected`."""
    return f"{entity.parent_key} names a row of {entity.parent} that was rejected"
