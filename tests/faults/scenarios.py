"""What is being loaded when a fault strikes: small drops, and how they must end."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.drops import ROWS, Drop, csv_bytes, later

Rows = dict[str, list[dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """The drops of a run.

    Attributes:
        name: what cases are called by.
        drops: those that are under way when the fault strikes, in the order of their upload.
        before: those that have come to their end by then.
        fails: the load_ids that end as `failed`; all others end as `reported`.
        replaced: objects that the partner overwrites between the validator and the stager, by
            the names of their files; only the first drop's.
    """

    name: str
    drops: tuple[Drop, ...]
    before: tuple[Drop, ...] = ()
    fails: frozenset[str] = frozenset()
    replaced: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def all_drops(self) -> tuple[Drop, ...]:
        """Every drop, in the order of upload."""
        return (*self.before, *self.drops)

    @property
    def expected(self) -> dict[str, str]:
        """The state in which each load ends."""
        return {
            drop.load_id: "failed" if drop.load_id in self.fails else "reported"
            for drop in self.all_drops
        }


def _changed_rows() -> Rows:
    """Of the rows that every first load has: one of each changed, two as they were, one new."""
    rows = {entity: [dict(row) for row in first] for entity, first in ROWS.items()}
    rows["customers"][0]["city"] = "Zürich"
    rows["customers"].append({"source_customer_id": "C4", "company_name": "new, and quoted"})
    rows["vehicles"][0]["odometer"] = "120000"
    rows["vehicles"].append({"source_vehicle_id": "V4", "source_customer_id": "C4"})
    rows["invoices"][0]["status"] = "paid"
    rows["line_items"][0] |= {"quantity": "2.000", "line_total": "3.00"}
    return rows


def _flipped_byte() -> Drop:
    drop = Drop(load_id="load-flipped")
    manifest = drop.manifest()
    drop.files["customers.csv"] = drop.files["customers.csv"].replace(b"Ada", b"Bda")
    drop.manifest_changes = manifest
    return drop


def _too_many_rejects() -> Drop:
    nameless = [{"first_name": f"without a key {number}"} for number in range(11)]
    return Drop.of({**ROWS, "customers": [*ROWS["customers"], *nameless]}, load_id="load-rejected")


_CHANGED = Drop.of(_changed_rows(), load_id="load-2", created_at=later(1))
_OTHER_PARTNER = Drop.of(_changed_rows(), load_id="load-globex", partner="globex")

NEW = Scenario("new", (Drop(),))
UPDATES = Scenario("updates", (_CHANGED,), before=(Drop(),))
LATE = Scenario("late", (Drop(),), before=(_CHANGED,))
PARTNERS = Scenario("partners", (Drop(), _OTHER_PARTNER))
FLIPPED = Scenario("flipped", (_flipped_byte(),), fails=frozenset({"load-flipped"}))
REPLACED = Scenario(
    "replaced",
    (Drop(load_id="load-replaced"),),
    fails=frozenset({"load-replaced"}),
    replaced={"invoices.csv": csv_bytes("invoices", ROWS["invoices"][:1])},
)
REJECTED = Scenario("rejected", (_too_many_rejects(),), fails=frozenset({"load-rejected"}))

# Every way of a load that ends well; and, by the stage that rejects it, of one that does not.
GOOD = (NEW, UPDATES, LATE, PARTNERS)
BAD = {"validator": FLIPPED, "stager": REPLACED, "upserter": REJECTED}
