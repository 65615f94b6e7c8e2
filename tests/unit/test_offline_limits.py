"""What `check` says at its limits: too many rejects, keys too long, a full disk."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import pytest

from crossdock.offline_check import MOST_REJECTS_KEPT, EntityCheck
from crossdock.offline_rows import CACHE_KIB, MOST_KEY_CHARACTERS_KEPT
from shared.errors import TransientFault
from shared.partners import Partner, Partners
from tests.unit.local_drops import Drop, customer, vehicle


def test_rejects_over_the_limit_fail_the_load_and_are_still_listed(drop: Drop) -> None:
    drop.write("customers", customer("C1"), *(customer(f"X{i}", country="DEU") for i in range(9)))
    drop.pack()
    assert drop.code() is None
    drop.write("customers", customer("C1"), *(customer(f"X{i}", country="DEU") for i in range(10)))
    drop.pack()

    result = drop.check()

    assert result.failure is not None
    assert (result.failure.code, result.failure.file) == ("rejects.over_limit", "customers.csv")
    assert (result.failure.row, result.failure.column) == (2, "country")
    assert "10 of 11 rows" in result.failure.message
    assert len(result.rejects) == 10
    assert result.entities["customers"] == EntityCheck(rows=11, rejected=10, unresolved=0)


def test_descendants_count_towards_the_limit(drop: Drop) -> None:
    drop.write("customers", customer("C1"), customer("C2", country="DEU"))
    drop.write("vehicles", *(vehicle(f"V{i}", "C2" if i < 10 else "C1") for i in range(50)))
    drop.write("invoices")
    drop.write("line_items")
    drop.pack()

    failure = drop.check().failure

    assert failure is not None
    assert (failure.code, failure.file) == ("rejects.over_limit", "vehicles.csv")


def test_a_partners_own_limit_is_the_one_that_counts(drop: Drop) -> None:
    drop.write("customers", customer("C1"), *(customer(f"X{i}", country="DEU") for i in range(10)))
    drop.pack()
    partner = Partner(folder="acme", source_system="acme", reject_limit_percent=Decimal(100))

    assert drop.check(Partners(partners={"acme": partner})).ok


def test_stored_rejects_are_capped_and_their_count_is_exact(drop: Drop) -> None:
    count = MOST_REJECTS_KEPT + 5
    drop.write("customers", *(customer(f"X{i}", country="DEU") for i in range(count)))
    drop.pack()

    result = drop.check()

    assert result.entities["customers"].rejected == count
    assert len(result.rejects) == MOST_REJECTS_KEPT
    assert result.rejects[-1].row_no == MOST_REJECTS_KEPT


def test_of_a_key_far_too_long_the_beginning_is_told_and_all_of_it_compared(drop: Drop) -> None:
    beginning = "é" * MOST_KEY_CHARACTERS_KEPT
    drop.write("customers", customer("C1"), customer(f"{beginning}1"), customer(f"{beginning}2"))
    drop.write("vehicles", vehicle("V1", "C1"), vehicle(f"{beginning}1", f"{beginning}3"))
    drop.pack()

    result = drop.check()

    assert [(it.source_key, it.code) for it in result.rejects] == [(beginning, "row.too_long")] * 3
    assert result.entities["customers"] == EntityCheck(rows=3, rejected=2, unresolved=0)


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process can grow; left before pytest writes its next line, perhaps to one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_without_room_is_told_with_what_to_do(drop: Drop) -> None:
    key = "x" * 60_000
    drop.write("customers", *(customer(f"{key}{i}") for i in range(CACHE_KIB * 1_024 // 60_000)))
    drop.pack()

    problem = r"temporary file .* name another folder in TMPDIR$"
    with full_disk(), pytest.raises(TransientFault, match=problem):
        drop.check()
