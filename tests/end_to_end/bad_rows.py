"""Lines 40 to 48: rows that are rejected while their load goes on, and rows that only look bad."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.drops import ROWS, Drop, csv_bytes
from tests.end_to_end.bad_inputs import Case, Refused, described

Row = dict[str, str]

KEYS = {
    "customers": "source_customer_id",
    "vehicles": "source_vehicle_id",
    "invoices": "source_invoice_id",
    "line_items": "source_line_item_id",
}
STANDING = tuple(row[KEYS["customers"]] for row in ROWS["customers"])
NEXT = 4  # each file of a good drop has three rows


def adding(**rows: list[Row]) -> Callable[[Drop], bytes]:
    """Rows behind those of a good drop; what they do not say is as in the last of those."""

    def pack(drop: Drop) -> bytes:
        for entity, added in rows.items():
            good = {**ROWS[entity][-1], KEYS[entity]: "new"}
            every = [*ROWS[entity], *({**good, **row} for row in added)]
            drop.files[f"{entity}.csv"] = csv_bytes(entity, every)
        return described(drop)

    return pack


@dataclass(frozen=True, slots=True)
class Bad:
    """One row with one bad value."""

    what: str
    entity: str
    column: str
    text: str


def rejected(line: int, what: str, code: str, says: str, *rows: Bad) -> Case:
    """A drop with these rows, each of which is rejected; at most nine in a file are no fault."""
    added: dict[str, list[Row]] = {}
    refused = []
    for bad in rows:
        others = added.setdefault(bad.entity, [])
        number = NEXT + len(others)
        others.append({KEYS[bad.entity]: f"new-{number}", bad.column: bad.text})
        words = (bad.column, says)
        refused.append(Refused(bad.entity, number, code, bad.column, words, bad.what))
    return Case(line, what, adding(**added), refused=tuple(refused))


def taken(line: int, what: str, entity: str, column: str, *texts: str) -> Case:
    """Rows that are accepted; their values in a column that only they fill."""
    rows = [{KEYS[entity]: f"new-{number}", column: text} for number, text in enumerate(texts)]
    before = tuple(row.get(column) or None for row in ROWS[entity])
    return Case(line, what, adding(**{entity: rows}), keeps={(entity, column): (*before, *texts)})


def over_limit(
    line: int, what: str, code: str, entity: str, column: str, *, unresolved: bool = False
) -> Case:
    """One rejected row more than a file may have."""
    rows = [{KEYS[entity]: f"new-{number}", column: "x"} for number in range(10)]
    return Case(
        line,
        what,
        adding(**{entity: rows}),
        "rejects.over_limit",
        f"{entity}.csv",
        NEXT,
        column,
        says=(f"{entity}.csv: 10 of 13 rows were rejected", "more than 1 %"),
        refused=tuple(
            Refused(entity, NEXT + number, code, column, what=f"{number}", unresolved=unresolved)
            for number in range(10)
        ),
        is_known_offline=not unresolved,
    )


TYPE, RANGE, LONG, REQUIRED = "row.type", "row.range", "row.too_long", "row.required"
VALUES = [
    rejected(
        40,
        "number",
        TYPE,
        "is not a number",
        *(
            Bad(what, "invoices", "subtotal", text)
            for what, text in (
                ("with a letter", "12x"),
                ("with an exponent", "1e3"),
                ("with a thousands mark", "1,234.50"),
                ("with a space", " 5"),
                ("in Arabic digits", "٣"),
                ("in full-width digits", "１"),  # noqa: RUF001 - it looks like a 1
                ("with a decimal comma", "1,5"),
                ("without digits after its point", "1."),
                ("that is NaN", "NaN"),
            )
        ),
    ),
    rejected(
        40,
        "integer",
        TYPE,
        "is not an integer",
        Bad("with a point", "vehicles", "odometer", "1.0"),
        Bad("with a letter", "line_items", "line_number", "12x"),
        Bad("that is NULL", "vehicles", "model_year", "NULL"),
    ),
    rejected(
        40,
        "date",
        TYPE,
        "is not a date that exists",
        *(
            Bad(what, "invoices", "invoice_date", text)
            for what, text in (
                ("on February 30", "2025-02-30"),
                ("of zeros", "0000-00-00"),
                ("with slashes", "25/12/01"),
                ("with a time", "2026-02-28T00:00:00"),
                ("on February 29 of 1900", "1900-02-29"),
            )
        ),
    ),
    over_limit(40, "one too many", TYPE, "invoices", "subtotal"),
    rejected(
        41,
        "amount",
        RANGE,
        "at most 10 digits before the point and 2 after it",
        Bad("of three decimals", "invoices", "tax", "1.505"),
        Bad("with a zero too many", "invoices", "total", "1.500"),
        Bad("of eleven digits", "invoices", "total", "10000000000"),
    ),
    rejected(
        41,
        "integer",
        RANGE,
        f"from {-(2**63)} to {2**63 - 1}",
        Bad("above 64 bits", "vehicles", "odometer", str(2**63)),
        Bad("below 64 bits", "vehicles", "odometer", str(-(2**63) - 1)),
    ),
    rejected(
        42,
        "text",
        LONG,
        "100 characters",
        Bad("of 101 characters", "customers", "first_name", "x" * 101),
        Bad("of 101 emoji", "customers", "first_name", "🚗" * 101),
        Bad("of 101 spaces", "customers", "city", " " * 101),
    ),
    rejected(
        42,
        "key",
        LONG,
        "64 characters",
        Bad("of 65 characters", "customers", KEYS["customers"], "k" * 65),
    ),
    taken(42, "100 emoji are taken", "customers", "first_name", "🚗" * 100),
    rejected(
        43,
        "empty",
        REQUIRED,
        "is empty",
        Bad("key", "customers", KEYS["customers"], ""),
        Bad("parent", "vehicles", KEYS["customers"], ""),
        Bad("date", "invoices", "invoice_date", ""),
        Bad("amount", "invoices", "total", ""),
        Bad("quantity", "line_items", "quantity", ""),
    ),
    rejected(
        45,
        "key",
        "row.key_whitespace",
        "begins or ends with white space",
        Bad("with a space first", "customers", KEYS["customers"], " K"),
        Bad("with a space last", "vehicles", KEYS["vehicles"], "K "),
        Bad("with a no-break space", "invoices", KEYS["invoices"], "K\xa0"),
        Bad("with an ideographic space", "line_items", KEYS["line_items"], "\u3000K"),
        Bad("with a line break", "customers", KEYS["customers"], "K\n"),
        Bad("with a NEL", "customers", KEYS["customers"], "\x85K"),
    ),
]
COPY, ORPHAN = "row.duplicate_key", "row.orphan"
RELATIONS = [
    Case(
        44,
        "key three times",
        adding(customers=[{}, {"city": "Rome"}, {}]),
        refused=tuple(
            Refused("customers", row, COPY, KEYS["customers"], (f"other rows too: {others}",))
            for row, others in ((4, "5, 6"), (5, "4, 6"), (6, "4, 5"))
        ),
    ),
    Case(
        44,
        "a faulty copy counts",
        adding(customers=[{}, {"country": "GBR"}]),
        refused=(
            Refused("customers", 4, COPY, KEYS["customers"], ("other rows too: 5",)),
            Refused("customers", 5, LONG, "country"),
        ),
    ),
    Case(
        44,
        "children of copies",
        adding(
            customers=[{}, {}],
            vehicles=[{KEYS["customers"]: "new"}],
            invoices=[{KEYS["vehicles"]: "new"}],
        ),
        refused=(
            Refused("customers", 4, COPY, KEYS["customers"], ("5",)),
            Refused("customers", 5, COPY, KEYS["customers"], ("4",)),
            Refused("vehicles", 4, "row.parent_rejected", KEYS["customers"], ("customers",)),
            Refused("invoices", 4, "row.parent_rejected", KEYS["vehicles"], ("vehicles",)),
        ),
    ),
    Case(
        46,
        "parent nowhere, or in other case",
        adding(
            vehicles=[
                {KEYS["customers"]: "nobody"},
                {KEYS["vehicles"]: "new-5", KEYS["customers"]: "c2"},
            ],
            invoices=[{KEYS["vehicles"]: "new-5"}],
            line_items=[{KEYS["invoices"]: "new"}],
        ),
        refused=tuple(
            Refused(entity, row, code, KEYS[parent], (parent, says), unresolved=True)
            for entity, row, code, parent, says in (
                ("vehicles", 4, ORPHAN, "customers", "earlier load"),
                ("vehicles", 5, ORPHAN, "customers", "earlier load"),
                ("invoices", 4, "row.parent_rejected", "vehicles", "rejected"),
                ("line_items", 4, "row.parent_rejected", "invoices", "rejected"),
            )
        ),
    ),
    over_limit(46, "one too many", ORPHAN, "vehicles", KEYS["customers"], unresolved=True),
]


PAIRS = ("ABC", "abc", "\xe9", "e\u0301", "ß", "ss")
NAMES = ("=cmd()", "@x", "<script>alert(1)</script>", "'; DROP TABLE customers; --")
HARMLESS = [
    Case(
        47,
        "keys that look alike",
        adding(customers=[{KEYS["customers"]: key} for key in PAIRS]),
        keeps={("crosswalk_customers", "source_key"): (*STANDING, *PAIRS)},
    ),
    taken(48, "formula, markup, statement", "customers", "first_name", *NAMES),
]
DELIVERED_ROWS = [*VALUES, *RELATIONS, *HARMLESS]
