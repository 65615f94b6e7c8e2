"""A drop in a folder of this machine, one good row in each file, to be bent out of shape."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from crossdock.offline_check import CheckResult, EntityCheck, check
from crossdock.pack import pack
from shared.contracts.model import contracts
from shared.csv_records import encode_record
from shared.partners import Partners

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
V1 = contracts()["v1"]
FILE_NAMES = [entity.file_name for entity in V1.entities]
CLEAN = EntityCheck(rows=1, rejected=0, unresolved=0)


def customer(key: str, **values: str) -> list[str]:
    return row("customers", source_customer_id=key, **values)


def vehicle(key: str, parent: str, **values: str) -> list[str]:
    return row("vehicles", source_vehicle_id=key, source_customer_id=parent, **values)


def invoice(key: str, parent: str, **values: str) -> list[str]:
    good = {
        "invoice_number": "R-1",
        "invoice_date": "2026-02-28",
        "currency": "EUR",
        "total": "1.50",
    }
    return row("invoices", source_invoice_id=key, source_vehicle_id=parent, **good | values)


def line_item(key: str, parent: str, **values: str) -> list[str]:
    good = {"line_number": "1", "quantity": "1", "unit_price": "1.5", "line_total": "1.50"}
    return row("line_items", source_line_item_id=key, source_invoice_id=parent, **good | values)


def row(entity: str, **values: str) -> list[str]:
    fields = dict.fromkeys(V1.entity(entity).header, "") | values
    return [fields[name] for name in V1.entity(entity).header]


class Drop:
    """A folder with one good row in each file, packed for partner acme."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.write("customers", customer("C1"))
        self.write("vehicles", vehicle("V1", "C1"))
        self.write("invoices", invoice("I1", "V1"))
        self.write("line_items", line_item("L1", "I1"))
        self.pack()

    def write(self, entity: str, *rows: list[str]) -> None:
        lines = [encode_record(fields) for fields in (list(V1.entity(entity).header), *rows)]
        text = "".join(f"{line}\n" for line in lines)
        (self.folder / f"{entity}.csv").write_text(text, encoding="utf-8", newline="")

    def pack(self) -> None:
        pack(self.folder, "load-1", "acme", NOW)

    def edit_manifest(self, edit: Callable[[dict[str, object]], object]) -> None:
        document = json.loads((self.folder / "manifest.json").read_bytes())
        edit(document)
        (self.folder / "manifest.json").write_text(json.dumps(document))

    def check(self, partners: Partners | None = None, partner: str | None = None) -> CheckResult:
        return check(self.folder, partner=partner, partners=partners or Partners(), now=NOW)

    def code(self) -> str | None:
        failure = self.check().failure
        return None if failure is None else failure.code
