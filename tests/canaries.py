"""Values that stand nowhere else in the world, one for each field of a drop, to be searched for."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from tests.drops import HEADERS, Drop, csv_bytes

# Two letters and three letters are no needle: they stand in every text.
TOO_SHORT = {"country": "GB", "currency": "EUR"}
INTEGERS = ("model_year", "odometer", "line_number")
AMOUNTS = ("subtotal", "tax", "total", "quantity", "unit_price", "line_total")
KEYS = {name: header.split(",")[0] for name, header in HEADERS.items()}
PARENT_KEYS = {
    name: header.split(",")[1] for name, header in HEADERS.items() if name != "customers"
}
ONE_TOO_MANY = 12
Row = dict[str, str]
Rows = dict[str, list[Row]]


@dataclass
class Planter:
    """Makes canaries, and remembers in which field of which row each stands."""

    planted: dict[str, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=partial(count, 1))

    def text(self, where: str) -> str:
        """A canary of letters and digits."""
        return self._new(f"zq{next(self._numbers):04d}kanari", where)

    def row(self, entity: str, **given: str) -> Row:
        """A row that breaks no rule, with a canary in each field that is not given."""
        columns = HEADERS[entity].split(",")
        return {name: given.get(name) or self._value(entity, name) for name in columns}

    def family(self) -> Rows:
        """A row of each entity, each the parent of the next."""
        rows: Rows = {}
        parent: Row = {}
        for entity in HEADERS:
            known = {PARENT_KEYS[entity]: next(iter(parent.values()))} if parent else {}
            parent = self.row(entity, **known)
            rows[entity] = [parent]
        return rows

    def _value(self, entity: str, name: str) -> str:
        where, number = f"{entity}.{name}", next(self._numbers)
        if name in TOO_SHORT:
            return TOO_SHORT[name]
        if name in INTEGERS:
            return self._new(f"7351{number:04d}924168", where)
        if name in AMOUNTS:
            return self._new(f"71{number:04d}93.47", where)
        if name == "invoice_date":
            return self._new(f"1{number % 900:03d}-07-29", where)
        return self._new(f"zq{number:04d}kanari", where)

    def _new(self, canary: str, where: str) -> str:
        self.planted[canary] = where
        return canary


def rejected_rows(planter: Planter) -> Rows:
    """A good family, and beside it a row for each code that a row can earn."""
    rows = planter.family()
    (parent,) = rows["customers"]
    twin = planter.row("customers")
    refused = planter.row("customers", country=planter.text("customers.country"))
    rows["customers"] += [
        planter.row("customers", source_customer_id=" " + planter.text("customers.key")),
        {**planter.row("customers"), "source_customer_id": ""},
        *(refused, twin, planter.row("customers", source_customer_id=twin["source_customer_id"])),
    ]
    of_parent = {"source_customer_id": parent["source_customer_id"]}
    of_refused = {"source_customer_id": refused["source_customer_id"]}
    rows["vehicles"] += [
        planter.row("vehicles", **of_parent, odometer=planter.text("vehicles.odometer")),
        planter.row("vehicles", **of_parent, odometer="83651920473" * 4),
        planter.row("vehicles"),
        planter.row("vehicles", **of_refused),
    ]
    planter.planted["83651920473" * 4] = "vehicles.odometer"
    return rows


def too_many_rejects(planter: Planter) -> Rows:
    """More faulty rows than a load may have."""
    return {
        "customers": [
            planter.row("customers", country=planter.text("customers.country"))
            for _ in range(ONE_TOO_MANY)
        ]
    }


Breaks = Callable[[bytes], bytes]
BROKEN_FILES: dict[str, Breaks] = {
    "no-header": lambda data: data.partition(b"\n")[2],
    "header-twice": lambda data: data.partition(b"\n")[2] * 2,
    "semicolons": lambda data: data.replace(b",", b";"),
    "open-quote": lambda data: data.replace(b"zq", b'"zq', 1),
    "quote-inside": lambda data: data.replace(b"kanari,", b'kan"ari,', 1),
    "not-utf-8": lambda data: data.replace(b"kanari,", b"kanari\xff,", 1),
    "a-nul": lambda data: data.replace(b"kanari,", b"kanari\0,", 1),
    "field-more": lambda data: data.replace(b"kanari,", b"kanari,more,", 1),
    "field-less": lambda data: data.replace(b"kanari,", b"kanari", 1),
    "mixed-ends": lambda data: data + data.splitlines()[1] + b"\r\n",
    "cut": lambda data: data[:-15],
}


@dataclass(frozen=True, slots=True)
class Package:
    """A drop as it is uploaded: its objects by their full names, the manifest last."""

    load_id: str
    objects: Mapping[str, bytes]

    @property
    def text(self) -> str:
        """All of it, to find in it what was planted."""
        return b"\n".join(self.objects.values()).decode("utf-8", "replace")


def packed(drop: Drop, manifest: Mapping[str, Any] | None = None) -> Package:
    """A drop with its own manifest, or with another."""
    files = {**drop.files, "manifest.json": json.dumps(manifest or drop.manifest()).encode()}
    return Package(drop.load_id, {drop.prefix + name: data for name, data in files.items()})


def broken_file(planter: Planter, breaks: Breaks, **facts: Any) -> Package:
    """A drop whose customers.csv is no good; its manifest is true of it."""
    drop = Drop.of({**planter.family(), "customers": [planter.row("customers")] * 2}, **facts)
    manifest = drop.manifest()
    drop.files["customers.csv"] = breaks(drop.files["customers.csv"])
    sha256 = hashlib.sha256(drop.files["customers.csv"]).hexdigest()
    manifest["files"][0]["sha256"] = sha256
    return packed(drop, manifest)


def changed_file(planter: Planter, **facts: Any) -> Package:
    """A drop whose manifest is not true of a file."""
    drop = Drop.of(planter.family(), **facts)
    manifest = drop.manifest()
    drop.files["invoices.csv"] = csv_bytes("invoices", [planter.row("invoices")])
    return packed(drop, manifest)


def wrong_total(planter: Planter, **facts: Any) -> Package:
    """A drop with a control total that its two rows do not add up to."""
    rows = planter.family()
    more = planter.row("invoices", source_vehicle_id=rows["vehicles"][0]["source_vehicle_id"])
    drop = Drop.of({**rows, "invoices": [*rows["invoices"], more]}, **facts)
    manifest = drop.manifest()
    manifest["files"][2]["totals"] = {"total": "1.00"}
    return packed(drop, manifest)


def broken_manifests(planter: Planter, drop: Drop) -> dict[str, bytes]:
    """Manifests with a row's values where none belong, by what is wrong with them."""
    row = planter.row("customers")
    good = json.dumps(drop.manifest())
    return {
        "rows-for-a-manifest": csv_bytes("customers", [row]),
        "rows-behind-it": good.encode() + csv_bytes("customers", [planter.row("customers")]),
        "not-utf-8": good.encode() + planter.text("manifest").encode() + b"\xff",
    }
