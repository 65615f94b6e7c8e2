"""The upsert's pure parts: its statements, its ids, and the reasons of its rejects."""

import re

import pytest

from services.upserter.attempt import Attempt, Counts
from services.upserter.checks import RefusedRow, explain
from services.upserter.collisions import Contested, yielding
from services.upserter.pieces import ROWS_A_PIECE, pieces_of
from services.upserter.plan import plan_of
from shared.contracts.model import Contract, contracts
from shared.contracts.row_rules import MOST_ROWS_NAMED, Violation
from shared.identity import hashed_id

V1 = contracts()["v1"]
ATTEMPT = Attempt(
    "L", "acme", version=1, run=1, staged_run=1, validated_run=1, fence=1, applied_fence=0
)
OTHER_CONTRACT = Contract.parse(
    """
schema_version = "v9"
[entity.planets]
key = "planet_code"
id = "planet_id"
[entity.planets.columns]
planet_code = "text(8)!"
mass = "decimal(9,3)"
[entity.moons]
key = "moon_code"
id = "moon_id"
parent = "planets"
[entity.moons.columns]
moon_code = "text(8)!"
planet_code = "text(8)!"
seen_at = "timestamp"
"""
)
BOUND_LATER = {
    "first_hash",
    "last_hash",
    "expected",
    "refused_parents",
    "most",
    "most_copies",
    "row_no",
    "entity",
    "raw",
    "code",
    "column",
    "message",
    "source_key",
    "contested_id",
    "internal_id",
    "newer_load",
    "newer_run",
    "newer_fence",
    "newer_loads",
    *Counts.__dataclass_fields__,
}


@pytest.mark.parametrize("contract", [V1, OTHER_CONTRACT], ids=["v1", "another"])
def test_every_statement_is_filled_in_and_binds_only_what_its_callers_give(
    contract: Contract,
) -> None:
    for plan in plan_of(contract):
        for name, sql in plan.sql.items():
            assert not re.search(r"\{[a-z_]+\}", sql), name
            bound = set(re.findall(r"%\((\w+)\)s", sql))
            assert bound <= ATTEMPT.keys().keys() | BOUND_LATER, name
            assert sql.count("%") == len(re.findall(r"%\(\w+\)s", sql)), name


def test_only_entities_with_children_have_crosswalk_statements() -> None:
    for plan in plan_of(V1):
        assert ("insert_keys" in plan.sql) is plan.entity.has_children
        assert ("insert_expected_keys" in plan.sql) is plan.entity.has_children
        assert ("move_first_seen" in plan.sql) is plan.entity.has_children


def test_an_entity_without_a_parent_asks_for_none() -> None:
    planets, moons = plan_of(OTHER_CONTRACT)
    assert "pk." not in planets.sql["classify_all"]
    assert "crosswalk_keys_planets" in moons.sql["classify"]
    assert "`planet_id`, `moon_code`, `seen_at`" in moons.sql["insert_rows"]


def test_an_update_writes_the_parent_and_every_value_but_no_key() -> None:
    _, moons = plan_of(OTHER_CONTRACT)
    assigned = moons.sql["update_rows"].split("SET ")[1].split("WHERE")[0]
    assert re.findall(r"p\.`?(\w+)`? = ", assigned) == [
        "planet_id",
        "seen_at",
        "source_version",
        "last_load_id",
    ]


def test_an_id_is_the_first_63_bits_of_the_hash() -> None:
    first_64_bits = 0x4677CF5A45DA661D  # printf customers/acme/C-1 | sha256sum
    assert hashed_id("customers", "acme", "C-1") == first_64_bits >> 1
    assert hashed_id("customers", "acme", "C-1", bits=8) == first_64_bits >> 56


@pytest.mark.parametrize(
    "other",
    [
        ("customers", "acme", "c-1"),
        ("customers", "acme", "C-1 "),
        ("customers", "acme2", "C-1"),
        ("vehicles", "acme", "C-1"),
        ("customers", "acme", "/C-1"),
    ],
)
def test_another_key_has_another_id(other: tuple[str, str, str]) -> None:
    assert hashed_id(*other) != hashed_id("customers", "acme", "C-1")


def test_each_attempt_gives_a_key_another_id_and_always_the_same() -> None:
    ids = [hashed_id("customers", "acme", "C-1", attempt=number) for number in range(5)]
    assert len(set(ids)) == 5
    assert ids == [hashed_id("customers", "acme", "C-1", attempt=number) for number in range(5)]


@pytest.mark.parametrize(
    ("rows", "pieces"), [(0, 1), (1, 1), (ROWS_A_PIECE, 1), (ROWS_A_PIECE + 1, 2), (160_000, 7)]
)
def test_the_pieces_of_a_file_leave_no_hash_out_and_have_none_twice(rows: int, pieces: int) -> None:
    found = [(piece["first_hash"], piece["last_hash"]) for piece in pieces_of(rows)]
    assert len(found) == pieces
    assert [first for first, _ in found[1:]] == [last + 1 for _, last in found[:-1]]
    assert [found[0][0], found[-1][1]] == [0, 2**63 - 1]


def test_of_keys_with_one_id_the_first_by_its_bytes_keeps_it_whatever_their_order() -> None:
    rivals = [Contested(row, key, 7, is_taken=False) for row, key in enumerate("cBaé")]
    for order in (rivals, rivals[::-1]):
        assert [loser.source_key for loser in yielding(order)] == ["a", "c", "é"]


def test_a_key_never_gets_an_id_that_was_taken_before() -> None:
    rivals = [Contested(1, "a", 7, is_taken=True), Contested(2, "b", 7, is_taken=True)]
    assert [loser.source_key for loser in yielding(rivals)] == ["a", "b"]


def test_a_key_keeps_the_id_that_was_registered_for_it() -> None:
    rivals = [Contested(1, "a", 7, is_taken=True), Contested(2, "b", 7, is_taken=False)]
    assert [loser.source_key for loser in yielding(rivals)] == ["a"]


def refused(**facts: object) -> RefusedRow:
    values: dict[str, object] = {
        "row_no": 3,
        "violation": None,
        "copy_rows": (),
        "copies": 1,
        "parent_was_refused": False,
    }
    return RefusedRow(**(values | facts))  # type: ignore[arg-type]


def test_a_row_gets_the_first_reason_in_the_contracts_order() -> None:
    entity = V1.entity("vehicles")
    everything = refused(
        violation=Violation("row.type", "odometer"),
        copy_rows=(1, 3),
        copies=2,
        parent_was_refused=True,
    )
    wrong = explain(entity, everything)
    assert (wrong.code, wrong.column) == ("row.type", "odometer")
    assert wrong.message == "odometer is not an integer: optional sign and digits"
    copy = explain(entity, refused(copy_rows=(1, 3), copies=2, parent_was_refused=True))
    assert (copy.code, copy.column) == ("row.duplicate_key", "source_vehicle_id")
    child = explain(entity, refused(parent_was_refused=True))
    assert (child.code, child.column) == ("row.parent_rejected", "source_customer_id")
    orphan = explain(entity, refused())
    assert (orphan.code, orphan.column) == ("row.orphan", "source_customer_id")


def test_a_copy_names_the_other_rows_and_says_how_many_it_left_out() -> None:
    entity = V1.entity("customers")
    two = explain(entity, refused(copy_rows=(1, 3), copies=2))
    assert two.message == "source_customer_id stands in other rows too: 1"
    first_rows = tuple(range(1, MOST_ROWS_NAMED + 2))
    many = explain(entity, refused(copy_rows=first_rows, copies=50))
    assert many.message.endswith("other rows too: 1, 2, 4, 5, 6, 7, 8, 9, 10, 11 and 39 more")
    late = explain(entity, refused(row_no=40, copy_rows=first_rows, copies=50))
    assert late.message.endswith("other rows too: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 39 more")


def test_counts_add_up_only_if_every_staged_row_has_one_outcome() -> None:
    counts = Counts(staged=15, inserted=1, updated=2, unchanged=3, stale=4, rejected=5)
    assert counts.add_up
    assert counts.accepted == 10
    assert not Counts(staged=14, inserted=1, updated=2, unchanged=3, stale=4, rejected=5).add_up
