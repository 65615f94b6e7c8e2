"""Python and a real MySQL give every row the same verdict and every value the same meaning."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date, timedelta, timezone
from decimal import Decimal
from typing import Any
from urllib.parse import unquote, urlsplit

import pymysql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymysql.cursors import Cursor

from shared.contracts.model import Column, Contract, Entity, Kind, contracts
from shared.contracts.notation import parse_timestamp
from shared.contracts.row_rules import (
    WHITE_SPACE,
    column_ddl,
    first_violation,
    typed_sql,
    violation_sql,
)

EVERY_TYPE = Contract.parse(
    """
    schema_version = "test"
    [entity.things]
    key = "thing_key"
    id = "thing_id"
    [entity.things.columns]
    thing_key = "text(5)!"
    note = "text(3)"
    amount = "decimal(12,2)"
    pieces = "decimal(5,0)!"
    share = "decimal(30,29)"
    count = "int"
    day = "date"
    moment = "timestamp"
    """
).entity("things")
ENTITIES = (EVERY_TYPE, *contracts()["v1"].entities)
TABLE = "CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin"

# A field of a verified file: any text of UTF-8 without NUL.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
EDGE = st.sampled_from(
    [*WHITE_SPACE, "", "", "", "", "\u200b", "\ufeff", "\x1c", "٣", "\uff11", "0"]
)

OTHER_CHARACTER = st.sampled_from([*"+-.,:eE0 \nTZ9", ""])


@st.composite
def nearly(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    """A good value, or one that differs from it in an edge or a character."""
    text: str = draw(values)
    match draw(st.integers(0, 7)):
        case 0:
            return f"{draw(EDGE)}{text}"
        case 1:
            return f"{text}{draw(EDGE)}"
        case 2:
            place = draw(st.integers(0, len(text)))
            return f"{text[:place]}{draw(OTHER_CHARACTER)}{text[place + 1 :]}"
        case _:
            return text


def digits(most: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=1, max_size=most)


SIGNS = st.sampled_from(["", "", "+", "-"])
DAYS = st.dates().map(str)
ODD_DAYS = st.builds(
    "{:04}-{:02}-{:02}".format,
    st.sampled_from([0, 1, 4, 100, 400, 1900, 2000, 2023, 2024, 9999]),
    st.integers(0, 13),
    st.integers(0, 32),
)
MOMENTS = st.datetimes(
    timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
).map(lambda moment: moment.isoformat())
ODD_MOMENTS = st.builds(
    "{}T{:02}:{:02}:{:02}{}{}".format,
    st.one_of(DAYS, ODD_DAYS, st.sampled_from(["0001-01-01", "9999-12-31"])),
    st.integers(0, 24),
    st.integers(0, 60),
    st.integers(0, 60),
    st.one_of(st.just(""), digits(7).map(".{}".format)),
    st.sampled_from(["Z", "z", "", "+00:00", "-00:00", "+23:59", "-23:59", "+24:00", "-00:01"]),
)
VALUES: dict[Kind, st.SearchStrategy[str]] = {
    Kind.INT: st.one_of(
        st.integers(-(2**64), 2**64).map(str),
        st.integers(-2, 2).map(lambda step: str(2**63 + step)),
        st.integers(-2, 2).map(lambda step: str(-(2**63) + step)),
        st.builds("{}{}{}".format, SIGNS, digits(12), digits(20)),
    ),
    Kind.DECIMAL: st.one_of(
        st.builds("{}{}".format, SIGNS, digits(14)),
        st.builds("{}{}.{}".format, SIGNS, digits(12), digits(6)),
        st.builds("{}{}.{}".format, SIGNS, digits(2), digits(31)),
    ),
    Kind.DATE: st.one_of(DAYS, ODD_DAYS),
    Kind.TIMESTAMP: st.one_of(MOMENTS, ODD_MOMENTS),
}


def texts(column: Column) -> st.SearchStrategy[str]:
    if column.kind is not Kind.TEXT:
        return st.one_of(st.just(""), nearly(VALUES[column.kind]), ANY_TEXT)
    at_limit = st.sampled_from("aé😀\u0301 ").map(lambda character: character * column.size)
    return st.one_of(ANY_TEXT, nearly(at_limit))


def good_texts(column: Column) -> st.SearchStrategy[str]:
    """Mostly in order, so that a row reaches the later codes."""
    if column.kind is Kind.TEXT:
        return st.sampled_from(["k", "é"])
    empty = [] if column.required else [st.just("")]
    plain = st.just(
        {Kind.DATE: "2024-02-29", Kind.TIMESTAMP: "2024-02-29T00:00:00Z"}.get(column.kind, "1")
    )
    return st.one_of(*empty, plain, VALUES[column.kind])


def rows(entity: Entity) -> st.SearchStrategy[list[tuple[str, ...]]]:
    wild = st.tuples(*map(texts, entity.columns))
    tame = st.tuples(*map(good_texts, entity.columns))
    mixed = st.tuples(*(st.one_of(good_texts(it), texts(it)) for it in entity.columns))
    return st.lists(st.one_of(wild, tame, mixed), min_size=1, max_size=60)


@contextmanager
def tables_of_rules(mysql_server_url: str) -> Iterator[Cursor]:
    """A connection with the temporary tables that rows are judged in."""
    url = urlsplit(mysql_server_url)
    connection = pymysql.connect(
        host=url.hostname,
        port=url.port or 3306,
        user=unquote(url.username or ""),
        password=unquote(url.password or ""),
        database=url.path.removeprefix("/"),
        charset="utf8mb4",
        sql_mode="TRADITIONAL",
    )
    with closing(connection), connection.cursor() as cursor:
        for entity in ENTITIES:
            staging = ", ".join(f"`{column.name}` MEDIUMTEXT" for column in entity.columns)
            typed = ", ".join(f"`{column.name}` {column_ddl(column)}" for column in entity.columns)
            for kind, columns in (("staging", staging), ("typed", typed)):
                cursor.execute(
                    f"CREATE TEMPORARY TABLE `{kind}_rules_{entity.name}` "
                    f"(row_no INT PRIMARY KEY, {columns}) {TABLE}"
                )
        yield cursor


@pytest.fixture(scope="module")
def cursor(mysql_server_url: str) -> Iterator[Cursor]:
    with tables_of_rules(mysql_server_url) as cursor:
        yield cursor


def stage(cursor: Cursor, entity: Entity, batch: Sequence[Sequence[str]]) -> None:
    cursor.execute(f"DELETE FROM `staging_rules_{entity.name}`")
    marks = ", ".join(["%s"] * (len(entity.columns) + 1))
    numbered = [(row_no, *fields) for row_no, fields in enumerate(batch)]
    cursor.executemany(f"INSERT INTO `staging_rules_{entity.name}` VALUES ({marks})", numbered)


def mysql_verdicts(cursor: Cursor, entity: Entity, batch: Sequence[Sequence[str]]) -> list[Any]:
    stage(cursor, entity, batch)
    verdict = violation_sql(entity, "s")
    cursor.execute(f"SELECT {verdict} FROM `staging_rules_{entity.name}` AS s ORDER BY row_no", ())
    verdicts = [row[0] for row in cursor.fetchall()]
    assert warnings(cursor) == ()
    return verdicts


def python_verdicts(entity: Entity, batch: Sequence[Sequence[str]]) -> list[str | None]:
    violations = [first_violation(entity, fields) for fields in batch]
    return [None if it is None else f"{it.code} {it.column}" for it in violations]


def warnings(cursor: Cursor) -> Any:
    cursor.execute("SHOW WARNINGS")
    return cursor.fetchall()


def meaning(column: Column, text: str) -> Any:
    if not text:
        return None
    match column.kind:
        case Kind.TEXT:
            return text
        case Kind.INT | Kind.DECIMAL:
            return Decimal(text)
        case Kind.DATE:
            return date.fromisoformat(text)
        case Kind.TIMESTAMP:
            return parse_timestamp(text).replace(tzinfo=None)


def meanings(entity: Entity, batch: Sequence[Sequence[str]]) -> list[tuple[Any, ...]]:
    return [tuple(map(meaning, entity.columns, fields)) for fields in batch]


def typed_values(
    cursor: Cursor, entity: Entity, batch: Sequence[Sequence[str]]
) -> list[tuple[Any, ...]]:
    stage(cursor, entity, batch)
    cursor.execute(f"DELETE FROM `typed_rules_{entity.name}`")
    values = ", ".join(typed_sql(column, "s") for column in entity.columns)
    cursor.execute(
        f"INSERT INTO `typed_rules_{entity.name}` "
        f"SELECT s.row_no, {values} FROM `staging_rules_{entity.name}` AS s"
    )
    assert warnings(cursor) == ()
    cursor.execute(f"SELECT * FROM `typed_rules_{entity.name}` ORDER BY row_no")
    return [row[1:] for row in cursor.fetchall()]


def thing(**values: str) -> tuple[str, ...]:
    fields = dict.fromkeys(EVERY_TYPE.header, "") | {"thing_key": "k", "pieces": "1"} | values
    return tuple(fields[name] for name in EVERY_TYPE.header)


LARGEST_FIELDS = [
    thing(**{column: text})
    for column in ("thing_key", "note", "amount", "pieces", "count", "day", "moment")
    for text in (
        "1" * 65_536,
        "0" * 65_536,
        "0" * 65_535 + "x",
        "0" * 60_000 + "1" * 5_536,
        "1." + "1" * 65_533 + "x",
        "1," * 32_768,
        "2024-02-29T00:00:00." + "1" * 60_000 + "Z",
        "2024-02-29" * 6_553,
        " " * 65_536,
        "\n" * 65_536,
    )
]


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
def test_mysql_gives_each_row_the_same_verdict(cursor: Cursor, entity: Entity) -> None:
    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(batch=rows(entity))
    def agree(batch: list[tuple[str, ...]]) -> None:
        assert mysql_verdicts(cursor, entity, batch) == python_verdicts(entity, batch)

    agree()


def test_mysql_judges_the_largest_fields_alike_and_in_time(cursor: Cursor) -> None:
    verdicts = mysql_verdicts(cursor, EVERY_TYPE, LARGEST_FIELDS)

    assert verdicts == python_verdicts(EVERY_TYPE, LARGEST_FIELDS)


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
def test_a_value_means_the_same_in_mysql_and_is_converted_without_warning(
    cursor: Cursor, entity: Entity
) -> None:
    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(batch=rows(entity))
    def same_meaning(batch: list[tuple[str, ...]]) -> None:
        good = [fields for fields in batch if first_violation(entity, fields) is None]
        assert typed_values(cursor, entity, good) == meanings(entity, good)

    same_meaning()


def test_the_largest_number_that_is_in_order_is_converted_without_warning(cursor: Cursor) -> None:
    good = [fields for fields in LARGEST_FIELDS if first_violation(EVERY_TYPE, fields) is None]

    assert typed_values(cursor, EVERY_TYPE, good) == meanings(EVERY_TYPE, good)
    assert thing(count="0" * 65_536) in good


def test_a_staging_value_that_was_never_delivered_counts_as_empty(cursor: Cursor) -> None:
    stage(cursor, EVERY_TYPE, [thing(), thing()])
    cursor.execute("UPDATE `staging_rules_things` SET pieces = NULL WHERE row_no = 0")
    cursor.execute("UPDATE `staging_rules_things` SET count = NULL WHERE row_no = 1")

    cursor.execute(
        f"SELECT {violation_sql(EVERY_TYPE, 's')} FROM `staging_rules_things` AS s ORDER BY row_no"
    )

    assert cursor.fetchall() == (("row.required pieces",), (None,))
