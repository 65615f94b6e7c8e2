"""Every row that is no good, in one drop whose partner may have any number of rejects."""

import csv
import io
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import pytest

from crossdock.offline_rows import MOST_KEY_CHARACTERS_KEPT
from shared.contracts.row_rules import WHITE_SPACE
from tests.drops import HEADERS, Drop
from tests.verdicts import LENIENT, Outcome, assert_accepted, take_all

Fields = dict[str, str]

KEYS = {
    "customers": "source_customer_id",
    "vehicles": "source_vehicle_id",
    "invoices": "source_invoice_id",
    "line_items": "source_line_item_id",
}
PARENT_KEYS = dict(zip(list(KEYS)[1:], list(KEYS.values())[:-1], strict=True))
GOOD: dict[str, Fields] = {
    "customers": {},
    "vehicles": {},
    "invoices": {
        "invoice_number": "R-1",
        "invoice_date": "2026-02-28",
        "currency": "EUR",
        "total": "1.50",
    },
    "line_items": {
        "line_number": "1",
        "quantity": "1",
        "unit_price": "1.5",
        "line_total": "1.50",
    },
}


@dataclass(frozen=True)
class Case:
    """One row of an entity, good but for these values, and the code and column that it gets."""

    entity: str
    values: Fields
    code: str | None = None
    column: str | None = None

    def fields(self, row_no: int) -> Fields:
        """The whole row; its parent is the first row of the parent's file."""
        row = dict.fromkeys(HEADERS[self.entity].split(","), "")
        row |= {KEYS[self.entity]: f"key-{row_no}", **GOOD[self.entity]}
        if self.entity in PARENT_KEYS:
            row[PARENT_KEYS[self.entity]] = "key-1"
        return row | self.values


def each(entity: str, column: str, code: str, *values: str) -> list[Case]:
    """A row for each value."""
    return [Case(entity, {column: value}, code, column) for value in values]


def accepted(entity: str, column: str, *values: str) -> list[Case]:
    return [Case(entity, {column: value}) for value in values]


NO_NUMBER = (
    *("12x", "x12", "1e3", "1E3", "1,234.50", "1 234", "1_234", "1'234", " 5", "5 ", "5\n", "\t5"),
    *("٣", "１", "½", "0x10", "--1", "+-1", "+", "-", "NaN", "Infinity", "(5)", "€5", "NULL"),  # noqa: RUF001
    *("0" * 65_535 + "x", " " * 65_536, "-" * 65_536),
)
NO_INTEGER = (*NO_NUMBER, "1.0", "1.", ".5")
NO_DECIMAL = (*NO_NUMBER, "1.", ".5", "1.2.3", "1,5", "1..5")
NO_DATE = (
    *("2025-02-30", "0000-00-00", "25/12/01", "1900-02-29", "2100-02-29", "2026-02-29"),
    *("2026-2-8", "20260228", "2026-02-28T00:00:00", " 2026-02-28", "2026-02-28 ", "2026-02-28\n"),
    *("0000-01-01", "2026-00-10", "2026-13-01", "2026-04-31", "2026-01-00", "+2026-02-28"),
    *("10000-01-01", "٢٠٢٦-٠٢-٢٨", "2026-02-2８", "28.02.2026", "today", "NULL"),  # noqa: RUF001
)
CAR = "🚗"

TYPES = [
    *each("vehicles", "odometer", "row.type", *NO_INTEGER),
    *each("line_items", "line_number", "row.type", *NO_INTEGER),
    *each("invoices", "subtotal", "row.type", *NO_DECIMAL),
    *each("invoices", "total", "row.type", *NO_DECIMAL),
    *each("invoices", "invoice_date", "row.type", *NO_DATE),
]
RANGES = [
    *each("vehicles", "odometer", "row.range", "9223372036854775808", "-9223372036854775809"),
    *each("vehicles", "model_year", "row.range", "9" * 65_536, "-" + "0" * 60_000 + "9" * 20),
    *each("invoices", "total", "row.range", "1.505", "1.500", "10000000000.00", "-10000000000"),
    *each("invoices", "tax", "row.range", "00000000001.00", "0." + "9" * 60_000, "9" * 65_536),
    *each("line_items", "quantity", "row.range", "1.2345", "1000000000"),
    *each("line_items", "unit_price", "row.range", "1.23456", "100000000"),
]
TOO_LONG = [
    *each("customers", "source_customer_id", "row.too_long", "k" * 65, CAR * 65, "k" * 65_536),
    *each("customers", "first_name", "row.too_long", "x" * 101, CAR * 101, " " * 101),
    *each("customers", "country", "row.too_long", "GBR", CAR * 3, "e\u0301e\u0301"),
    *each("customers", "email", "row.too_long", "x" * 255),
    *each("vehicles", "vin", "row.too_long", "1" * 18),
    *each("vehicles", "source_customer_id", "row.too_long", "k" * 65),
    *each("invoices", "currency", "row.too_long", "EURO", "EUR "),
    *each("line_items", "description", "row.too_long", "x" * 2001, CAR * 2001, '"' * 65_536),
]
REQUIRED = [
    *each("customers", "source_customer_id", "row.required", ""),
    *(
        case
        for column in ("source_vehicle_id", "source_customer_id")
        for case in each("vehicles", column, "row.required", "")
    ),
    *(
        case
        for column in (*HEADERS["invoices"].split(",")[:4], "currency", "total")
        for case in each("invoices", column, "row.required", "")
    ),
    *(
        case
        for column in (
            *("source_line_item_id", "source_invoice_id", "line_number"),
            *("quantity", "unit_price", "line_total"),
        )
        for case in each("line_items", column, "row.required", "")
    ),
]
WHITE = [
    *each(
        "customers",
        "source_customer_id",
        "row.key_whitespace",
        *(text for white in WHITE_SPACE for text in (f"{white}K", f"K{white}", white)),
    ),
    *each("line_items", "source_line_item_id", "row.key_whitespace", " L", "L\n", "\u3000"),
]
FIRST_OF_SEVERAL = [
    Case("customers", {KEYS["customers"]: "", "country": "GBR"}, "row.required", KEYS["customers"]),
    Case(
        "customers",
        {KEYS["customers"]: " " + "k" * 65, "country": "GBR"},
        "row.key_whitespace",
        KEYS["customers"],
    ),
    Case("customers", {"city": "x" * 101, "country": "GBR"}, "row.too_long", "city"),
    Case(
        "vehicles", {"model_year": "x", "license_plate": "x" * 21}, "row.too_long", "license_plate"
    ),
    Case("vehicles", {"model_year": "9" * 20, "odometer": "x"}, "row.type", "odometer"),
    Case("invoices", {"subtotal": "1.234", "total": ""}, "row.required", "total"),
    Case("invoices", {"subtotal": "1.234", "invoice_date": "x"}, "row.type", "invoice_date"),
]
AT_THE_EDGE = [
    *accepted("vehicles", "odometer", "9223372036854775807", "-9223372036854775808"),
    *accepted("vehicles", "odometer", "+5", "-0", "007", "0" * 65_535 + "5", ""),
    *accepted("invoices", "total", "9999999999.99", "-9999999999.99", "+5", "-0.00", "0.1"),
    *accepted("invoices", "tax", "", "0000000001.00"),
    *accepted("invoices", "invoice_date", "0001-01-01", "9999-12-31", "2000-02-29", "2024-02-29"),
    *accepted("line_items", "quantity", "999999999.999", "-0.001"),
    *accepted("line_items", "unit_price", "99999999.9999"),
    *accepted("line_items", "description", "x" * 2000, CAR * 2000),
    *accepted("customers", KEYS["customers"], "k" * 64, CAR * 64, "\u200bK", "K\ufeff", "a b"),
    *accepted("customers", KEYS["customers"], "ABC", "abc", "\xe9", "e\u0301", "ß", "ss"),
    *accepted("customers", "country", CAR * 2, "e\u0301"),
    *accepted("customers", "first_name", "=cmd()", "@x", "<script>", " ", CAR * 100),
]
CASES = [
    *(Case(entity, {}) for entity in KEYS),
    *TYPES,
    *RANGES,
    *TOO_LONG,
    *REQUIRED,
    *WHITE,
    *FIRST_OF_SEVERAL,
    *AT_THE_EDGE,
]


@dataclass
class Filled:
    """The drop that holds every case, and where each of them stands in it."""

    rows: dict[str, list[Fields]] = field(default_factory=lambda: {name: [] for name in KEYS})
    places: dict[tuple[str, int], Case] = field(default_factory=dict)

    @classmethod
    def of(cls, cases: list[Case]) -> "Filled":
        filled = cls()
        for case in cases:
            rows = filled.rows[case.entity]
            rows.append(case.fields(len(rows) + 1))
            filled.places[case.entity, len(rows)] = case
        return filled


FILLED = Filled.of(CASES)


def quoted(entity: str, rows: list[Fields]) -> bytes:
    """The file with every field in quotes, so that it may hold control characters."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(HEADERS[entity].split(","))
    writer.writerows(row.values() for row in rows)
    return text.getvalue().encode()


REJECTED = [place for place, case in FILLED.places.items() if case.code]
ACCEPTED = [place for place, case in FILLED.places.items() if not case.code]


@pytest.fixture(scope="module")
def outcome(mysql_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    drop = Drop.of({}, load_id="all-cases", partner=LENIENT)
    drop.files = {f"{entity}.csv": quoted(entity, rows) for entity, rows in FILLED.rows.items()}
    root = tmp_path_factory.mktemp("bucket")
    return take_all(mysql_server_url, root, [(drop, None)])["all-cases"]


@pytest.fixture(scope="module")
def by_key(outcome: Outcome) -> dict[tuple[str, str], dict[str, object]]:
    """The production rows by entity and source key."""
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for entity, key in KEYS.items():
        if entity == "line_items":
            rows |= {(entity, row[key]): row for row in outcome.standing[entity]}
            continue
        by_id = {row[key.removeprefix("source_")]: row for row in outcome.standing[entity]}
        for known in outcome.standing[f"crosswalk_{entity}"]:
            rows[entity, known["source_key"]] = by_id[known["internal_id"]]
    return rows


def shown(place: tuple[str, int]) -> str:
    case = FILLED.places[place]
    column = case.column or next(iter(case.values), "good")
    return f"{place[0]}-{place[1]}-{column}-{case.values.get(column, '')[:12]!a}"


def test_a_load_goes_on_with_the_rows_that_are_good(outcome: Outcome) -> None:
    assert_accepted(outcome)
    for entity, rows in FILLED.rows.items():
        rejected = sum(1 for of, _ in REJECTED if of == entity)
        assert outcome.count(entity, "manifest") == len(rows)
        assert outcome.count(entity, "rejected") == rejected
        assert outcome.count(entity, "inserted") == len(rows) - rejected
        assert len(outcome.standing[entity]) == len(rows) - rejected


def test_rows_are_rejected_exactly_where_they_break_a_rule(outcome: Outcome) -> None:
    found = {(row["entity"], row["row_no"]) for row in outcome.rejects}
    assert found == set(REJECTED)


@pytest.mark.parametrize("place", REJECTED, ids=shown)
def test_a_rejected_row_is_kept_with_its_code_and_place_and_its_own_text(
    place: tuple[str, int], outcome: Outcome
) -> None:
    entity, row_no = place
    case, fields = FILLED.places[place], FILLED.rows[entity][row_no - 1]
    (reject,) = (row for row in outcome.rejects if (row["entity"], row["row_no"]) == place)
    assert (reject["code"], reject["column_name"]) == (case.code, case.column)
    assert reject["source_key"] == fields[KEYS[entity]]
    assert list(csv.reader(io.StringIO(reject["raw"], newline=""), strict=True)) == [
        list(fields.values())
    ]
    assert str(case.column) in reject["message"]
    value = case.values[str(case.column)]
    if len(value) > 2 and case.code != "row.range":  # that one names the limits
        assert value not in reject["message"]


@pytest.mark.parametrize("place", ACCEPTED, ids=shown)
def test_a_value_at_the_edge_of_its_column_stands_in_production_as_delivered(
    place: tuple[str, int], by_key: dict[tuple[str, str], dict[str, object]]
) -> None:
    entity, row_no = place
    fields = FILLED.rows[entity][row_no - 1]
    stored = by_key[entity, fields[KEYS[entity]]]
    for column, text in fields.items():
        if column in stored and column not in PARENT_KEYS.values():
            assert stored[column] == typed(stored[column], text)


def typed(like: object, text: str) -> object:
    """The text as a value of the other's type."""
    match like:
        case int():
            return int(Decimal(text))
        case Decimal():
            return Decimal(text)
        case date():
            return date.fromisoformat(text)
        case None:
            return None if text == "" else text
        case _:
            return text


def test_the_offline_check_rejects_the_same_rows_for_the_same_reason(outcome: Outcome) -> None:
    most = MOST_KEY_CHARACTERS_KEPT
    told = [
        (row["entity"], row["row_no"], row["source_key"][:most], row["code"], row["column_name"])
        for row in outcome.rejects
    ]
    checked = outcome.checked
    offline = [
        (row.entity, row.row_no, row.source_key, row.code, row.column) for row in checked.rejects
    ]
    assert sorted(offline) == sorted(told)
    assert checked.ok
    for entity, counts in checked.entities.items():
        assert counts.rows == outcome.count(entity, "staged")
        assert (counts.rejected, counts.unresolved) == (outcome.count(entity, "rejected"), 0)
