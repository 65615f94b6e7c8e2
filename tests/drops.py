"""Small drops, written by the contract alone: none of the code under test has a part in it."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
HEADERS = {
    "customers": (
        "source_customer_id,first_name,last_name,company_name,email,phone,address_line1,"
        "address_line2,city,region,postal_code,country"
    ),
    "vehicles": (
        "source_vehicle_id,source_customer_id,vin,make,model,model_year,license_plate,odometer"
    ),
    "invoices": (
        "source_invoice_id,source_vehicle_id,invoice_number,invoice_date,status,currency,"
        "subtotal,tax,total"
    ),
    "line_items": (
        "source_line_item_id,source_invoice_id,line_number,item_type,part_number,description,"
        "quantity,unit_price,line_total"
    ),
}
ROWS: dict[str, list[dict[str, str]]] = {
    "customers": [
        {"source_customer_id": "C1", "first_name": "Ada", "last_name": "NULL", "country": "GB"},
        {"source_customer_id": "c1", "first_name": 'O"Hara, "Zoë"', "last_name": "line\nbreak"},
        {"source_customer_id": "C2", "company_name": "=cmd()", "email": "", "city": "\\N"},
    ],
    "vehicles": [
        {"source_vehicle_id": "V1", "source_customer_id": "C1", "model_year": "1999"},
        {"source_vehicle_id": "V2", "source_customer_id": "c1", "make": "🚗\r\nvan"},
        {"source_vehicle_id": "V3", "source_customer_id": "C2", "odometer": "-1"},
    ],
    "invoices": [
        {
            "source_invoice_id": f"I{number}",
            "source_vehicle_id": f"V{number}",
            "invoice_number": f"2026-{number}",
            "invoice_date": "2026-02-28",
            "currency": "EUR",
            "total": "1.50",
        }
        for number in (1, 2, 3)
    ],
    "line_items": [
        {
            "source_line_item_id": f"L{number}",
            "source_invoice_id": f"I{number}",
            "line_number": "1",
            "description": "back\\slash",
            "quantity": "1.000",
            "unit_price": "1.5000",
            "line_total": "1.50",
        }
        for number in (1, 2, 3)
    ],
}


def csv_bytes(entity: str, rows: list[dict[str, str]], *, line_end: str = "\n") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, HEADERS[entity].split(","), restval="", lineterminator=line_end)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


@dataclass
class Drop:
    """One drop that can be bent out of shape before it is written."""

    load_id: str = "load-1"
    partner: str = "acme"
    created_at: datetime = EPOCH
    files: dict[str, bytes] = field(
        default_factory=lambda: {f"{name}.csv": csv_bytes(name, ROWS[name]) for name in HEADERS}
    )
    manifest_changes: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Mapping[str, list[dict[str, str]]], **facts: Any) -> "Drop":
        """A drop with these rows; entities that are not named have only their header."""
        files = {f"{name}.csv": csv_bytes(name, rows.get(name, [])) for name in HEADERS}
        return cls(files=files, **facts)

    @property
    def prefix(self) -> str:
        return f"imports/{self.partner}/{self.load_id}/"

    def manifest(self) -> dict[str, Any]:
        return {
            "load_id": self.load_id,
            "source_system": self.partner,
            "schema_version": "v1",
            "created_at": self.created_at.isoformat().replace("+00:00", "Z"),
            "files": [
                {
                    "name": name,
                    "rows": sum(1 for _ in csv.reader(io.StringIO(data.decode(), newline=""))) - 1,
                    "sha256": hashlib.sha256(data).hexdigest(),
                }
                for name, data in self.files.items()
                if f"{name.removesuffix('.csv')}" in HEADERS
            ],
            **self.manifest_changes,
        }

    def write(self, root: Path, *, manifest: bytes | None = None) -> Path:
        """Write the drop below a folder that stands for a bucket, the manifest last."""
        folder = root / self.prefix
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in self.files.items():
            (folder / name).write_bytes(data)
        self.write_manifest(root, manifest)
        return folder

    def write_manifest(self, root: Path, manifest: bytes | None = None) -> None:
        """Write manifest.json alone, as a partner who corrects it does."""
        text = json.dumps(self.manifest()).encode() if manifest is None else manifest
        (root / self.prefix / "manifest.json").write_bytes(text)


def later(minutes: int) -> datetime:
    """A created_at so many minutes after the others."""
    return EPOCH + timedelta(minutes=minutes)
