"""The sample drop: believable rows, the oddities of real exports, and any size.

The same arguments always give the same bytes. Customers come with their vehicles, these with their
invoices, these with their line items, about 1 : 1.5 : 3 : 5.5; rows are written as they are made,
so the memory does not grow with the size.
"""

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any, Final

from shared.contracts.model import contracts
from shared.csv_records import encode_record

SCHEMA_VERSION: Final = "v1"
CRLF_FILE: Final = "vehicles.csv"

_VEHICLES = (0, 1, 1, 2, 2, 3)
_INVOICES = (0, 1, 2, 2, 2, 3, 4)
_LINE_ITEMS = (1, 1, 1, 2, 2, 4)
_FIRST_DAY = date(2023, 1, 2)
_DAYS = 3 * 365
_STATUSES = ("open", "paid", "paid", "overdue", "cancelled")
_TAX_PERCENT = 19
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"

Row = tuple[str, dict[str, str]]


def generate(
    directory: Path,
    *,
    seed: int,
    customers: int = 500,
    version: int = 1,
    changed_share: float = 0.05,
) -> dict[str, int]:
    """Write the four CSV files of a drop; `vehicles.csv` has CRLF line ends, the others LF.

    Args:
        directory: where they go; it is made if need be, and files of their names are replaced.
        seed: which drop.
        customers: how many; the drop has about eleven times as many rows in all.
        version: 1 is the drop itself; any other one changes a share of its rows, the same ones
            whenever it is asked for.
        changed_share: how many of the rows that is, from 0 to 1.

    Returns:
        The number of data rows by entity.
    """
    rows = _rows(Random(f"sample/{seed}"), customers)  # noqa: S311 - sample data
    if version != 1:
        picks = Random(f"sample/{seed}/version/{version}")  # noqa: S311 - sample data
        rows = _changed(rows, picks, changed_share)
    return _write(directory, rows)


def _write(directory: Path, rows: Iterator[Row]) -> dict[str, int]:
    directory.mkdir(parents=True, exist_ok=True)
    entities = contracts()[SCHEMA_VERSION].entities
    headers = {entity.name: entity.header for entity in entities}
    counts = dict.fromkeys(headers, 0)
    with ExitStack() as stack:
        written = {
            entity.name: stack.enter_context(
                (directory / entity.file_name).open("w", encoding="utf-8", newline="")
            )
            for entity in entities
        }
        ends = {it.name: "\r\n" if it.file_name == CRLF_FILE else "\n" for it in entities}
        for name, header in headers.items():
            written[name].write(",".join(header) + ends[name])
        for name, values in rows:
            fields = [values.get(column, "") for column in headers[name]]
            written[name].write(encode_record(fields) + ends[name])
            counts[name] += 1
    return counts


def _changed(rows: Iterator[Row], picks: Random, share: float) -> Iterator[Row]:
    for name, values in rows:
        is_picked = picks.random() < share
        yield name, values | _news(name, values, picks) if is_picked else values


def _news(name: str, values: Mapping[str, str], picks: Random) -> dict[str, str]:
    """What changes in a row between two deliveries: never a key, never a sum of money."""
    match name:
        case "customers":
            return {"phone": f"+44 20 {picks.randrange(10**7, 10**8)}"}
        case "vehicles":
            return {"odometer": str(int(values["odometer"] or 0) + picks.randrange(1, 20_000))}
        case "invoices":
            return {"status": "refunded" if values["status"] == "paid" else "paid"}
        case _:
            return {"description": f"{values['description']} (no. {picks.randrange(10_000)})"}


@cache
def _words() -> dict[str, Any]:
    text = files("infra.local").joinpath("sample.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _rows(rng: Random, customers: int) -> Iterator[Row]:
    vehicle_no = invoice_no = line_no = 0
    for customer_no in range(1, customers + 1):
        locale = rng.choice(_words()["locales"])
        customer = _customer(rng, customer_no, locale)
        yield "customers", customer
        for _ in range(rng.choice(_VEHICLES)):
            vehicle_no += 1
            vehicle = _vehicle(rng, vehicle_no, customer)
            yield "vehicles", vehicle
            for _ in range(rng.choice(_INVOICES)):
                invoice_no += 1
                invoice = _invoice(rng, invoice_no, vehicle, locale["currency"])
                subtotal_cents = 0
                for position in range(1, rng.choice(_LINE_ITEMS) + 1):
                    line_no += 1
                    line_item, cents = _line_item(rng, line_no, invoice, position)
                    subtotal_cents += cents
                    yield "line_items", line_item
                yield "invoices", invoice | _money(subtotal_cents)


def _customer(rng: Random, number: int, locale: Mapping[str, Any]) -> dict[str, str]:
    words = _words()
    first_name, last_name = rng.choice(locale["first_names"]), rng.choice(locale["last_names"])
    city, region, postal_code = rng.choice(locale["cities"])
    street = {"street": rng.choice(locale["streets"]), "number": rng.randrange(1, 250)}
    customer = {
        "source_customer_id": f"C-{number:06d}",
        "first_name": first_name,
        "last_name": last_name,
        "company_name": _in(rng, 20, rng.choice(words["companies"]).format(last_name)),
        "email": _in(rng, 80, f"customer{number}@mail.example"),
        "phone": _in(rng, 70, f"{locale['phone']}{rng.randrange(10**6, 10**7)}"),
        "address_line1": locale["street"].format(**street),
        "address_line2": _in(rng, 5, "2nd floor, left"),
        "city": city,
        "region": region,
        "postal_code": postal_code,
        "country": locale["country"],
    }
    oddities = words["oddities"]
    return customer | (oddities[number - 1] if number <= len(oddities) else {})


def _vehicle(rng: Random, number: int, customer: Mapping[str, str]) -> dict[str, str]:
    make, maker_code, models = rng.choice(_words()["makes"])
    plate = f"{rng.choice(_LETTERS)}{rng.choice(_LETTERS)} {rng.randrange(100, 10_000)}"
    return {
        "source_vehicle_id": f"VEH-{number:07d}",
        "source_customer_id": customer["source_customer_id"],
        "vin": _in(rng, 90, f"{maker_code}{rng.randrange(16**14):014X}"),
        "make": make,
        "model": rng.choice(models),
        "model_year": str(rng.randrange(1998, 2026)),
        "license_plate": f"{customer['country']}-{plate}",
        "odometer": _in(rng, 90, str(rng.randrange(250_000))),
    }


def _in(rng: Random, percent: int, text: str) -> str:
    """The text in so many percent of all cases, else no value."""
    return text if rng.randrange(100) < percent else ""


def _invoice(rng: Random, number: int, vehicle: Mapping[str, str], currency: str) -> dict[str, str]:
    day = _FIRST_DAY + timedelta(days=rng.randrange(_DAYS))
    return {
        "source_invoice_id": f"INV-{number:07d}",
        "source_vehicle_id": vehicle["source_vehicle_id"],
        "invoice_number": f"R{day.year}/{number:07d}",
        "invoice_date": day.isoformat(),
        "status": rng.choice(_STATUSES),
        "currency": currency,
    }


def _money(subtotal_cents: int) -> dict[str, str]:
    tax_cents = (subtotal_cents * _TAX_PERCENT + 50) // 100
    return {
        "subtotal": _amount(subtotal_cents),
        "tax": _amount(tax_cents) if tax_cents else "",
        "total": _amount(subtotal_cents + tax_cents),
    }


def _line_item(
    rng: Random, number: int, invoice: Mapping[str, str], position: int
) -> tuple[dict[str, str], int]:
    """The row, and its total in cents."""
    item_type = rng.choice(("part", "part", "labour", "fee"))
    half_pieces = rng.choice((1, 2, 2, 2, 4, 8))
    unit_cents = 2 * rng.randrange(-500 if item_type == "fee" else 50, 10_000)
    cents = half_pieces * unit_cents // 2
    line_item = {
        "source_line_item_id": f"LI-{number:08d}",
        "source_invoice_id": invoice["source_invoice_id"],
        "line_number": str(position),
        "item_type": item_type,
        "part_number": f"{rng.randrange(10_000):04d}-{number:06d}" if item_type == "part" else "",
        "description": rng.choice(_words()["items"][item_type]),
        "quantity": f"{half_pieces / 2:g}",
        "unit_price": f"{_amount(unit_cents)}{rng.choice(('', '', '00'))}",
        "line_total": _amount(cents),
    }
    return line_item, cents


def _amount(cents: int) -> str:
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"
