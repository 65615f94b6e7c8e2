"""The contract is data: what stands in v1.toml stands nowhere else."""

import re
from pathlib import Path

import pytest

from shared.contracts.model import Contract, ContractError, contracts
from tests.conftest import REPOSITORY

CODE = [
    path
    for room in ("shared", "services", "crossdock")
    for path in sorted((REPOSITORY / room).rglob("*"))
    if path.suffix in {".py", ".sql"}
]
PLAIN_WORDS = {"status", "total", "make", "model", "email", "phone", "city", "region", "country"}
V1 = contracts()["v1"]


def names() -> set[str]:
    """Entities, tables' id columns and columns, but for words of plain English."""
    found = {entity.name for entity in V1.entities}
    for entity in V1.entities:
        found |= {entity.id_column, *entity.header}
    return found - PLAIN_WORDS - {"subtotal", "tax", "vin", "quantity", "currency", "description"}


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_entity_or_column_of_the_contract_is_named_by_hand(path: Path) -> None:
    words = set(re.findall(r"[a-z_0-9]+", path.read_text(encoding="utf-8")))
    assert not words & names()


def test_parents_stand_before_their_children() -> None:
    assert [entity.name for entity in V1.entities] == [
        "customers",
        "vehicles",
        "invoices",
        "line_items",
    ]
    assert [V1.parent_of(entity) for entity in V1.entities] == [None, *V1.entities[:-1]]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (('parent = "customers"', 'parent = "invoices"'), "must stand before"),
        (('vin = "text(17)"', 'vin = "text"'), "needs a size"),
        (('vin = "text(17)"', 'vin = "blob(17)"'), "is no type"),
        (('vin = "text(17)"', "'vin`' = \"text(17)\""), "is no identifier"),
        (('source_vehicle_id = "text(64)!"', 'source_vehicle_id = "text(64)"'), "required"),
        (("decimal(12,4)", "decimal(4,12)"), "more decimals than digits"),
    ],
)
def test_a_contract_that_is_wrong_does_not_start_a_process(
    change: tuple[str, str], problem: str
) -> None:
    text = (REPOSITORY / "shared" / "contracts" / "v1.toml").read_text(encoding="utf-8")
    changed = text.replace(*change)
    assert changed != text
    with pytest.raises(ContractError, match=problem):
        Contract.parse(changed)
