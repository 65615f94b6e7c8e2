"""Ids that are hashes: the same in Python and SQL, never shared by accident, shared by a merge."""

from functools import partial

import pymysql
import pytest

from services.upserter.attempt import Attempt
from services.upserter.gate import Gate
from services.upserter.plan import plan_of
from shared.identity import hashed_id
from shared.mysql.connect import Database
from shared.stage import Parts
from tests.production import content
from tests.upserts import (
    V1,
    Rows,
    apply,
    counts,
    deliver,
    family,
    ids,
    plan_all,
    production,
    row,
    stage,
    write_all,
)
from tests.upserts import rejects as rejects_of

NAMES = ("customers", "vehicles", "invoices", "line_items")
MANY = tuple(f"{number:02}" for number in range(40))


@pytest.fixture
def short_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids of 8 bits, so that 40 keys of an entity cannot help colliding."""
    monkeypatch.setattr("services.upserter.stage.plan_of", partial(plan_of, id_bits=8))


async def parents(database: Database, name: str, source_system: str = "acme") -> dict[str, str]:
    """Of each key its parent's key, as production has it."""
    entity = V1.entity(name)
    parent = V1.parent_of(entity)
    assert parent is not None
    key_of = {no: key for key, no in (await ids(database, parent.name, source_system)).items()}
    rows = await production(database, name)
    own = await ids(database, name, source_system)
    return {key: key_of[rows[internal_id][parent.id_column]] for key, internal_id in own.items()}


async def test_ids_agree_between_python_and_sql(parts: Parts, database: Database) -> None:
    keys = ["1", "a/b", "/", "é", "e\u0301", "😀", "it's", '"', "\\", "%s", "x" * 64, "a\r\nb"]
    rows = {
        "customers": [row("customers", key) for key in keys],
        "vehicles": [row("vehicles", key, key) for key in keys],
        "invoices": [row("invoices", key, key) for key in keys],
        "line_items": [row("line_items", key, key) for key in keys],
    }
    await deliver(parts, database, "L", 1, rows)
    for name in NAMES:
        assert await ids(database, name) == {key: hashed_id(name, "acme", key) for key in keys}


@pytest.mark.usefixtures("short_ids")
async def test_keys_whose_hashes_agree_get_ids_of_their_own_and_keep_their_children(
    parts: Parts, database: Database
) -> None:
    hashes = [hashed_id("customers", "acme", f"C-{name}", bits=8) for name in MANY]
    assert len(set(hashes)) < len(hashes)
    await deliver(parts, database, "L", 1, family(*MANY))
    for name in NAMES:
        assert len(set((await ids(database, name)).values())) == len(MANY)
    for name, own, parent in (("vehicles", "V", "C"), ("invoices", "I", "V")):
        expected = {f"{own}-{key}": f"{parent}-{key}" for key in MANY}
        assert await parents(database, name) == expected
    before = await content(database)
    await apply(parts, "L")
    assert await counts(database, "L") == {name: {"unchanged": len(MANY)} for name in NAMES}
    assert await content(database) == before


@pytest.mark.usefixtures("short_ids")
async def test_later_keys_and_other_partners_never_get_an_id_that_is_taken(
    parts: Parts, database: Database
) -> None:
    await deliver(parts, database, "L1", 1, family(*MANY[:20]))
    before = {name: await ids(database, name) for name in NAMES}
    await deliver(parts, database, "L2", 2, family(*MANY))
    await deliver(parts, database, "L3", 1, family(*MANY), "other")
    for name in NAMES:
        mine, theirs = await ids(database, name), await ids(database, name, "other")
        assert before[name].items() <= mine.items()
        assert len({*mine.values(), *theirs.values()}) == 2 * len(MANY)
    assert await parents(database, "invoices", "other") == {f"I-{no}": f"V-{no}" for no in MANY}


def look_alike(name: str, key: str) -> str:
    """Another key with the same hash of 8 bits."""
    wanted = hashed_id(name, "acme", key, bits=8)
    keys = map(str, range(10_000))
    return next(other for other in keys if hashed_id(name, "acme", other, bits=8) == wanted)


@pytest.mark.usefixtures("short_ids")
async def test_a_key_that_comes_alone_leaves_the_row_with_the_same_hash_as_it_is(
    parts: Parts, database: Database
) -> None:
    await deliver(parts, database, "L1", 1, family("1"))
    before = {name: await production(database, name) for name in NAMES}
    customer, line_item = look_alike("customers", "C-1"), look_alike("line_items", "L-1")
    rows = {
        "customers": [row("customers", customer, city="Oslo")],
        "line_items": [row("line_items", line_item, "I-1", item_type="other")],
    }
    told = await deliver(parts, database, "L2", 2, rows)
    assert told == {"customers": {"inserted": 1}, "line_items": {"inserted": 1}}
    for name in NAMES:
        assert before[name].items() <= (await production(database, name)).items()
    assert len(await ids(database, "customers")) == 2
    assert len(await ids(database, "line_items")) == 2


@pytest.mark.usefixtures("short_ids")
async def test_an_orphan_is_no_child_of_a_key_with_the_same_hash(
    parts: Parts, database: Database
) -> None:
    stranger = look_alike("customers", "C-1")
    vehicles = [row("vehicles", "V-1", "C-1"), row("vehicles", "V-2", stranger)]
    rows = {"customers": [row("customers", "C-1")], "vehicles": vehicles}
    told = await deliver(parts, database, "L", 1, rows)
    assert told["vehicles"] == {"inserted": 1, "rejected": 1}
    assert await rejects_of(database, "L", "vehicles") == {2: ("row.orphan", "source_customer_id")}


REGISTER = "INSERT INTO identity_collision VALUES (%(entity)s, %(system)s, %(key)s, %(id)s)"


@pytest.mark.usefixtures("short_ids")
async def test_an_id_that_was_registered_is_kept_though_the_load_was_never_applied(
    parts: Parts, database: Database
) -> None:
    registered = {"entity": "customers", "system": "acme", "key": "C-01", "id": 300}
    await database.execute(REGISTER, registered)
    await deliver(parts, database, "L", 1, family(*MANY))
    assert (await ids(database, "customers"))["C-01"] == 300
    assert (await parents(database, "vehicles"))["V-01"] == "C-01"


async def test_a_key_takes_the_id_that_another_load_registered_for_it_meanwhile(
    parts: Parts, database: Database
) -> None:
    hashed = hashed_id("line_items", "acme", "L-1")
    theirs = {"entity": "line_items", "system": "other", "key": "L-1", "id": hashed}
    await database.execute(REGISTER, theirs)
    await deliver(parts, database, "L1", 1, family("1"), "other")
    rows = family("1")
    orphan = row("line_items", "L-2", "nobody")
    await stage(database, "L2", 1, {**rows, "line_items": [*rows["line_items"], orphan]})
    await database.execute(
        "CREATE TRIGGER meanwhile AFTER INSERT ON load_reject FOR EACH ROW "
        "INSERT INTO identity_collision VALUES ('line_items', 'acme', 'L-1', 300)"
    )
    attempt = Attempt(
        "L2", "acme", version=1, run=1, staged_run=1, validated_run=1, fence=1, applied_fence=0
    )
    await plan_all(database, attempt, Gate(ids_may_differ=True, newer=()))
    planned = "SELECT internal_id FROM plan_line_items WHERE load_id = 'L2' AND action = 'insert'"
    assert await database.fetch_value(planned) == 300


async def test_a_registered_id_that_another_key_took_first_is_given_up(
    parts: Parts, database: Database
) -> None:
    await deliver(parts, database, "L1", 1, family("1"), "other")
    (taken,) = (await ids(database, "line_items", "other")).values()
    registered = {"entity": "line_items", "system": "acme", "key": "L-1", "id": taken}
    await database.execute(REGISTER, registered)
    await deliver(parts, database, "L2", 1, family("1"))
    (own,) = (await ids(database, "line_items")).values()
    assert own not in {taken, hashed_id("line_items", "acme", "L-1")}
    kept = "SELECT source_system, internal_id FROM identity_collision"
    assert await database.fetch_all(kept) == [{"source_system": "acme", "internal_id": own}]


async def merge(database: Database, from_key: str, into_key: str) -> int:
    """What `crossdock merge` does to the crosswalk."""
    into = (await ids(database, "customers"))[into_key]
    await database.execute(
        "UPDATE crosswalk_keys_customers SET internal_id = %(into)s WHERE source_key = %(key)s",
        {"into": into, "key": from_key},
    )
    await database.execute("UPDATE source_gate SET has_merged_keys = TRUE")
    return into


async def test_merged_keys_write_one_row_and_their_children_follow(
    parts: Parts, database: Database
) -> None:
    await deliver(parts, database, "L1", 1, family("1", "2"))
    into = await merge(database, "C-1", "C-2")
    rows = {
        "customers": [row("customers", "C-1", city="Oslo")],
        "vehicles": [row("vehicles", "V-1", "C-1")],
    }
    told = await deliver(parts, database, "L2", 2, rows)
    assert told == {"customers": {"updated": 1}, "vehicles": {"updated": 1}}
    vehicles = await production(database, "vehicles")
    assert {vehicle["customer_id"] for vehicle in vehicles.values()} == {into}
    assert (await production(database, "customers"))[into]["city"] == "Oslo"


@pytest.mark.parametrize("order", [(1, 2), (2, 1)], ids=["merged key first", "survivor first"])
async def test_of_merged_keys_in_one_drop_the_survivor_writes_and_a_replay_changes_nothing(
    parts: Parts, database: Database, order: tuple[int, int]
) -> None:
    await deliver(parts, database, "L1", 1, family("1", "2"))
    into = await merge(database, "C-1", "C-2")
    both: Rows = {"customers": [row("customers", f"C-{no}", city=f"city {no}") for no in order]}
    told = await deliver(parts, database, "L2", 2, both)
    assert told == {"customers": {"updated": 1, "unchanged": 1}}
    assert (await production(database, "customers"))[into]["city"] == "city 2"
    before = await content(database)
    await apply(parts, "L2")
    assert await counts(database, "L2") == {"customers": {"unchanged": 2}}
    assert await content(database) == before


ATTEMPT = Attempt(
    "L", "acme", version=1, run=1, staged_run=1, validated_run=1, fence=1, applied_fence=0
)


async def test_an_id_that_was_taken_since_the_plan_was_made_stops_the_write(
    database: Database,
) -> None:
    await stage(database, "L", 1, family("1"))
    gate = Gate(ids_may_differ=False, newer=())
    planned = await plan_all(database, ATTEMPT, gate)
    await database.execute(
        "INSERT INTO customers (customer_id, source_system, source_version, first_load_id, "
        "last_load_id) VALUES (%(id)s, 'other', 1, 'M', 'M')",
        {"id": hashed_id("customers", "acme", "C-1")},
    )
    with pytest.raises(pymysql.err.IntegrityError):
        async with database.transaction():
            await write_all(database, ATTEMPT, gate, planned)
    gate = Gate(ids_may_differ=True, newer=())
    again = await plan_all(database, ATTEMPT, gate)
    async with database.transaction():
        await write_all(database, ATTEMPT, gate, again)
    assert len(await production(database, "customers")) == 2
    assert await parents(database, "vehicles") == {"V-1": "C-1"}
