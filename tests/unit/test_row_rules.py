"""Which code a row earns by itself, and how its columns stand in MySQL."""

from datetime import UTC, datetime

import pytest

from shared.contracts.model import Column, Contract, Entity, Kind, contracts
from shared.contracts.notation import parse_decimal, parse_timestamp
from shared.contracts.row_rules import (
    WHITE_SPACE,
    Violation,
    column_ddl,
    first_violation,
    typed_sql,
    violation_message,
    violation_sql,
)

V1 = contracts()["v1"]
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
    pieces = "decimal(5,0)"
    count = "int"
    day = "date"
    moment = "timestamp"
    """
).entity("things")


def violation_with(**values: str) -> Violation | None:
    fields = dict.fromkeys(EVERY_TYPE.header, "") | {"thing_key": "k"} | values
    return first_violation(EVERY_TYPE, [fields[name] for name in EVERY_TYPE.header])


def code_with(**values: str) -> str | None:
    violation = violation_with(**values)
    return None if violation is None else violation.code


@pytest.mark.parametrize(
    "text",
    [
        "12x",
        "1e3",
        "1,234.50",
        " 5",
        "5 ",
        "٣",
        "\uff15",
        "5\n",
        "5\r",
        "5\u2028",
        "+",
        "-",
        "--5",
        "0x10",
        "1_000",
        "NaN",
        "Infinity",
        "NULL",
        "\\N",
        "5.",
        ".5",
        "1.2.3",
        "5-",
        "+ 5",
        "5\u00a0",
    ],
)
@pytest.mark.parametrize("column", ["amount", "pieces", "count"])
def test_what_is_no_number_in_the_contracts_notation_is_a_type_error(
    column: str, text: str
) -> None:
    assert violation_with(**{column: text}) == Violation("row.type", column)


@pytest.mark.parametrize("text", ["1.5", "1.0"])
def test_an_integer_with_a_point_is_a_type_error(text: str) -> None:
    assert code_with(count=text) == "row.type"


@pytest.mark.parametrize(
    "text",
    [
        "2025-02-30",
        "0000-00-00",
        "25/12/01",
        "0000-01-01",
        "2023-02-29",
        "1900-02-29",
        "2025-13-01",
        "2025-00-01",
        "2025-01-00",
        "2025-04-31",
        "2025-1-1",
        "20250101",
        "2025-01-01 ",
        "2025-01-01\n",
        "2025-01-01T00:00:00Z",
        "٢٠٢٥-01-01",
        "+025-01-01",
        "12025-01-01",
    ],
)
def test_what_is_no_date_that_exists_is_a_type_error(text: str) -> None:
    assert violation_with(day=text) == Violation("row.type", "day")


@pytest.mark.parametrize(
    "text", ["0001-01-01", "9999-12-31", "2024-02-29", "2000-02-29", "2025-12-01"]
)
def test_a_date_that_exists_is_taken(text: str) -> None:
    assert code_with(day=text) is None


@pytest.mark.parametrize(
    "text",
    [
        "2025-01-01T00:00:00",
        "2025-01-01 00:00:00Z",
        "2025-01-01T23:59:60Z",
        "2025-02-30T00:00:00Z",
        "2025-01-01T24:00:00Z",
        "2025-01-01T00:00Z",
        "2025-01-01T00:00:00.Z",
        "2025-01-01T00:00:00Z\n",
        "2025-01-01T00:00:00+0530",
        "2025-01-01T00:00:00+24:00",
        "0000-01-01T00:00:00Z",
        "2025-01-01",
    ],
)
def test_what_is_no_timestamp_with_a_zone_is_a_type_error(text: str) -> None:
    assert violation_with(moment=text) == Violation("row.type", "moment")


@pytest.mark.parametrize(
    "text",
    ["2025-01-01T00:00:00.1234567Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"],
)
def test_a_timestamp_that_mysql_cannot_hold_is_out_of_range(text: str) -> None:
    assert violation_with(moment=text) == Violation("row.range", "moment")


@pytest.mark.parametrize(
    "text",
    [
        "2025-01-01T00:00:00Z",
        "2025-01-01t00:00:00z",
        "2025-01-01T00:00:00.123456-23:59",
        "9999-12-31T23:59:59+01:00",
        "0001-01-01T00:00:00-01:00",
        "2024-02-29T12:00:00.5+05:30",
    ],
)
def test_a_timestamp_with_a_zone_is_taken(text: str) -> None:
    assert code_with(moment=text) is None


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("amount", "1.234"),
        ("amount", "1.230"),
        ("amount", "12345678901"),
        ("amount", "-12345678901.5"),
        ("amount", "1" * 65_536),
        ("pieces", "1.0"),
        ("pieces", "123456"),
        ("count", "9223372036854775808"),
        ("count", "-9223372036854775809"),
        ("count", "1" * 65_536),
        ("count", "0" * 60_000 + "1" * 5_000),
    ],
)
def test_too_many_digits_are_out_of_range(column: str, text: str) -> None:
    assert violation_with(**{column: text}) == Violation("row.range", column)


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("amount", "1234567890.12"),
        ("amount", "-0.5"),
        ("amount", "+7"),
        ("pieces", "-99999"),
        ("count", "9223372036854775807"),
        ("count", "-9223372036854775808"),
        ("count", "+0"),
        ("count", "-0"),
        ("count", "000009223372036854775807"),
    ],
)
def test_a_number_that_fits_is_taken(column: str, text: str) -> None:
    assert code_with(**{column: text}) is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("abc", None),
        ("abcd", "row.too_long"),
        ("😀😀😀", None),
        ("😀😀😀😀", "row.too_long"),
        ("e\u0301e", None),
        ("e\u0301e\u0301", "row.too_long"),
        ("   ", None),
        ("x" * 65_536, "row.too_long"),
    ],
)
def test_a_text_is_measured_in_characters(text: str, code: str | None) -> None:
    assert code_with(note=text) == code


def test_a_required_value_must_not_be_empty_and_an_optional_one_may() -> None:
    assert violation_with(thing_key="") == Violation("row.required", "thing_key")
    assert violation_with() is None


@pytest.mark.parametrize("character", WHITE_SPACE)
def test_a_key_with_white_space_at_an_edge_is_rejected(character: str) -> None:
    assert violation_with(thing_key=f"k{character}") == Violation("row.key_whitespace", "thing_key")
    assert violation_with(thing_key=f"{character}k") == Violation("row.key_whitespace", "thing_key")
    assert violation_with(thing_key=character) == Violation("row.key_whitespace", "thing_key")
    assert violation_with(thing_key=f"k{character}k") is None
    assert violation_with(note=character) is None


def test_white_space_is_what_the_contract_lists() -> None:
    listed = [*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B)]
    listed += [0x2028, 0x2029, 0x202F, 0x205F, 0x3000]

    assert [ord(character) for character in WHITE_SPACE] == listed


@pytest.mark.parametrize("character", ["\u200b", "\ufeff", "\x1c", "\u180e", "\u2060"])
def test_other_invisible_characters_are_part_of_a_key(character: str) -> None:
    assert violation_with(thing_key=f"k{character}") is None


def test_only_a_rows_own_key_is_held_against_white_space() -> None:
    vehicles = V1.entity("vehicles")

    assert first_violation(vehicles, ["V1", " C1", "", "", "", "", "", ""]) is None


@pytest.mark.parametrize(
    "name", ["=cmd()", "@x", "<script>", "NULL", "\\N", "Ünsal 山田", "O'Hara"]
)
def test_a_name_may_be_any_text(name: str) -> None:
    assert first_violation(V1.entity("customers"), ["C1", "", name, *[""] * 9]) is None


def test_the_order_of_the_codes_comes_before_the_order_of_the_columns() -> None:
    faulty = {"note": "abcd", "amount": "1.234", "pieces": "x", "count": "9" * 20, "day": "x"}

    assert violation_with(thing_key="", **faulty) == Violation("row.required", "thing_key")
    assert violation_with(thing_key="too long ", **faulty) == Violation(
        "row.key_whitespace", "thing_key"
    )
    assert violation_with(thing_key="too long", **faulty) == Violation("row.too_long", "thing_key")
    assert violation_with(**faulty) == Violation("row.too_long", "note")
    assert violation_with(**faulty | {"note": ""}) == Violation("row.type", "pieces")
    assert violation_with(**faulty | {"note": "", "pieces": ""}) == Violation("row.type", "day")
    assert violation_with(amount="1.234", count="9" * 20) == Violation("row.range", "amount")


@pytest.mark.parametrize(
    ("violation", "message"),
    [
        (Violation("row.required", "thing_key"), "thing_key is empty, but must have a value"),
        (
            Violation("row.key_whitespace", "thing_key"),
            "thing_key begins or ends with white space",
        ),
        (Violation("row.too_long", "note"), "note has more than 3 characters"),
        (Violation("row.type", "day"), "day is not a date that exists, as YYYY-MM-DD"),
        (
            Violation("row.range", "amount"),
            "amount does not fit: at most 10 digits before the point and 2 after it",
        ),
        (
            Violation("row.range", "count"),
            "count does not fit: from -9223372036854775808 to 9223372036854775807",
        ),
        (
            Violation("row.range", "moment"),
            "moment does not fit: at most microseconds, in the years 1 to 9999 of UTC",
        ),
    ],
)
def test_a_message_names_the_column_and_what_it_takes(violation: Violation, message: str) -> None:
    assert violation_message(EVERY_TYPE, violation) == message


@pytest.mark.parametrize("entity", [*V1.entities, EVERY_TYPE], ids=lambda entity: entity.name)
def test_sql_passes_through_formatting_and_any_quoting_mode(entity: Entity) -> None:
    text = violation_sql(entity, "s") + "".join(typed_sql(it, "s") for it in entity.columns)

    assert "%" not in text
    assert "\\" not in text


@pytest.mark.parametrize(
    ("column", "ddl"),
    [
        (Column("a", Kind.TEXT, required=True, size=64), "VARCHAR(64) NOT NULL"),
        (Column("a", Kind.TEXT, required=False, size=2000), "VARCHAR(2000) NULL"),
        (Column("a", Kind.INT, required=True), "BIGINT NOT NULL"),
        (Column("a", Kind.DECIMAL, required=False, size=12, scale=4), "DECIMAL(12,4) NULL"),
        (Column("a", Kind.DATE, required=True), "DATE NOT NULL"),
        (Column("a", Kind.TIMESTAMP, required=False), "DATETIME(6) NULL"),
    ],
)
def test_a_columns_type_in_production_follows_the_contract(column: Column, ddl: str) -> None:
    assert column_ddl(column) == ddl


def test_a_timestamp_is_the_moment_in_utc() -> None:
    assert parse_timestamp("2024-02-29T01:00:00.5+05:30") == datetime(
        2024, 2, 28, 19, 30, 0, 500_000, tzinfo=UTC
    )


@pytest.mark.parametrize("text", ["", "1e3", "0x1", "1_0", "NaN", "٣", "1.\n"])
def test_a_decimal_in_another_notation_is_no_value(text: str) -> None:
    with pytest.raises(ValueError, match="optional sign and digits"):
        parse_decimal(text)
