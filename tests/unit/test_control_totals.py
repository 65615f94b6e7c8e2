"""Control totals: exact sums of what was delivered, or none."""

from decimal import Decimal

import pytest

from shared.csv_records import ControlTotals


def totals(*records: bytes) -> dict[str, Decimal | None]:
    control = ControlTotals(("id", "tax", "total"), ("tax", "total"))
    for record in records:
        control.add([record])
    together = ControlTotals(("id", "tax", "total"), ("tax", "total"))
    together.add(records)
    assert control.sums() == together.sums()
    return control.sums()


def test_control_totals_are_exact() -> None:
    large = "1" + "0" * 60
    assert totals(b"1,0.10,-5", b'2,"+0.20",5.001', f"3,,{large}".encode()) == {
        "tax": Decimal("0.3"),
        "total": Decimal(large + ".001"),
    }


def test_no_rows_sum_up_to_zero() -> None:
    assert totals() == {"tax": Decimal(0), "total": Decimal(0)}


@pytest.mark.parametrize(
    "value",
    ["12x", "1e3", '"1,234.50"', " 5", "٣", "NaN", "Infinity", "1_000", ".5", "5.", "-", "0x1"],
)
def test_a_value_that_is_no_number_makes_its_total_wrong_for_good(value: str) -> None:
    assert totals(f"1,{value},1".encode(), b"2,2.00,2") == {"tax": None, "total": Decimal(3)}
