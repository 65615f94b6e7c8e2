"""The few drops that schedules are made of.

They bring new rows, updates, rows that come again unchanged, a parent that only another load has,
and a file that is not what its manifest says.
"""

import random
from dataclasses import dataclass, replace

from tests.drops import Drop, later

Fields = dict[str, str]


def family(key: str, *, text: str = "x", customer: str | None = None) -> dict[str, Fields]:
    """One row of each entity under one key; `customer` is another row's, perhaps elsewhere."""
    return {
        "customers": {"source_customer_id": key, "last_name": text},
        "vehicles": {"source_vehicle_id": key, "source_customer_id": customer or key},
        "invoices": {
            "source_invoice_id": key,
            "source_vehicle_id": key,
            "invoice_number": text,
            "invoice_date": "2026-02-28",
            "currency": "EUR",
            "total": "1.50",
        },
        "line_items": {
            "source_line_item_id": key,
            "source_invoice_id": key,
            "line_number": "1",
            "quantity": "1",
            "unit_price": "1.5",
            "line_total": "1.50",
        },
    }


def drop_of(load_id: str, partner: str, minutes: int, *families: dict[str, Fields]) -> Drop:
    """A drop of whole families; `minutes` places its created_at."""
    rows: dict[str, list[Fields]] = {}
    for one in families:
        for entity, fields in one.items():
            rows.setdefault(entity, []).append(fields)
    return Drop.of(rows, load_id=load_id, partner=partner, created_at=later(minutes))


NEW = drop_of("acme-new", "acme", 1, family("A"), family("B"))
UPDATE = drop_of("acme-update", "acme", 2, family("A", text="y"), family("B"))
ELSEWHERE = drop_of("acme-elsewhere", "acme", 3, family("B", text="z"), family("C", customer="A"))
REPEAT = drop_of("acme-repeat", "acme", 4, family("A"), family("D"))
OTHER_NEW = drop_of("globex-new", "globex", 1, family("A"), family("B", text="o"))
OTHER_UPDATE = drop_of("globex-update", "globex", 2, family("B"), family("C"))
OF_ONE_PARTNER = (NEW, UPDATE, ELSEWHERE, REPEAT)
DROPS = (*OF_ONE_PARTNER, OTHER_NEW, OTHER_UPDATE)


def broken(drop: Drop) -> Drop:
    """The drop with a file that is not what its manifest says."""
    files = {**drop.files, "invoices.csv": drop.files["invoices.csv"].replace(b"EUR", b"USD")}
    return replace(drop, files=files, manifest_changes={"files": drop.manifest()["files"]})


@dataclass(frozen=True)
class Upload:
    """One load of a schedule: what is uploaded first, what lies there last, and how it ends."""

    first: Drop
    last: Drop
    ends: str = "reported"

    @property
    def needs_mending(self) -> bool:
        """Whether the first is broken and the last is not."""
        return self.first is not self.last


def some_uploads(dice: random.Random) -> list[Upload]:
    """One to three loads of one or two partners, now and then one that comes broken."""
    drops = dice.sample(dice.choice((OF_ONE_PARTNER, DROPS)), dice.choice((1, 2, 2, 3, 3)))
    uploads = [Upload(drop, drop) for drop in drops]
    if dice.random() < 1 / 4:
        place = dice.randrange(len(drops))
        drop = broken(drops[place])
        never = Upload(drop, drop, ends="failed")
        uploads[place] = dice.choice((Upload(drop, drops[place]), never))
    return uploads
