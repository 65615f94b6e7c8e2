"""Whose turn it is, and what an upsert reads and locks while it has its turn."""

from itertools import chain

import pytest

from services.upserter.attempt import Attempt
from services.upserter.classify import prepare
from services.upserter.gate import PlanOutdated, advance_epoch, take_gate
from services.upserter.plan import plan_of
from services.upserter.write import write
from shared.errors import TransientFault, Waiting
from shared.mysql.connect import Database, connect
from shared.stage import Parts
from tests.production import content
from tests.upserts import V1, deliver, family, stage

ATTEMPT = Attempt("L", "acme", version=1, run=1, staged_run=1, fence=1, applied_fence=0)


async def test_a_plan_that_another_upsert_outdated_is_not_written(database: Database) -> None:
    await stage(database, "L", 1, family("1"))
    prepared = await prepare(database, plan_of(V1), ATTEMPT)
    await advance_epoch(database, ATTEMPT)
    with pytest.raises(PlanOutdated):
        async with database.transaction():
            await take_gate(database, ATTEMPT, prepared.epoch)


async def test_a_load_makes_its_plan_again_until_it_holds(parts: Parts, database: Database) -> None:
    await database.execute("INSERT INTO source_gate VALUES ('acme', 0)")
    await database.execute(
        "CREATE TRIGGER overtaken AFTER INSERT ON delivered_customers FOR EACH ROW "
        "UPDATE source_gate SET epoch = epoch + 1 WHERE epoch < 2"
    )
    told = await deliver(parts, database, "L", 1, family("1"))
    assert list(told.values()) == [{"inserted": 1}] * len(V1.entities)
    assert await database.fetch_value("SELECT epoch FROM source_gate") == 3


async def test_a_load_that_is_overtaken_time_and_again_is_tried_later(
    parts: Parts, database: Database
) -> None:
    await database.execute("INSERT INTO source_gate VALUES ('acme', 0)")
    await database.execute(
        "CREATE TRIGGER overtaken AFTER INSERT ON delivered_customers FOR EACH ROW "
        "UPDATE source_gate SET epoch = epoch + 1"
    )
    with pytest.raises(TransientFault):
        await deliver(parts, database, "L", 1, family("1"))
    assert not any((await content(database)).values())


async def test_a_gate_that_another_load_holds_is_waited_for_outside(
    database: Database, database_url: str
) -> None:
    await stage(database, "L", 1, family("1"))
    prepared = await prepare(database, plan_of(V1), ATTEMPT)
    async with connect(database_url) as other, other.transaction():
        await take_gate(other, ATTEMPT, prepared.epoch)
        with pytest.raises(Waiting) as caught:
            async with database.transaction():
                await take_gate(database, ATTEMPT, prepared.epoch)
    assert not caught.value.counts_towards_limit


async def test_a_late_load_locks_no_other_load_out_of_the_ledger(
    parts: Parts, database: Database, database_url: str
) -> None:
    await deliver(parts, database, "new", 2, family("1"))
    await stage(database, "L", 1, family("1", "2"))
    plans = plan_of(V1)
    prepared = await prepare(database, plans, ATTEMPT)
    assert prepared.newer_loads == ("new",)
    async with connect(database_url) as other, database.transaction():
        await write(database, plans, ATTEMPT, prepared)
        await other.execute("SET SESSION innodb_lock_wait_timeout = 1")
        renewed = "UPDATE load_ledger SET lease_until = NOW(6) WHERE load_id = 'new'"
        assert await other.execute(renewed) == 1


async def test_no_statement_reads_a_whole_table_though_the_tables_statistics_are_empty(
    database: Database,
) -> None:
    values = ATTEMPT.keys(first_row=1, last_row=50_000, most=1, most_copies=1)
    by_key = ("classify", "insert_keys", "insert_rows", "update_rows", "count_standing")
    statements = chain.from_iterable(
        (plan.sql[name] for name in by_key if name in plan.sql) for plan in plan_of(V1)
    )
    for sql in statements:
        rows = await database.fetch_all(f"EXPLAIN FORMAT=TREE {sql}", values)
        tree = "".join(str(value) for told in rows for value in told.values())
        assert "Table scan on" not in tree.replace("Table scan on classified", ""), tree
        assert "hash join" not in tree, tree
