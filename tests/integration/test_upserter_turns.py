"""Whose turn it is, and what an upsert reads and locks while it has its turn."""

import re
from itertools import chain
from typing import Any

import pytest

from services.upserter import stage as upserter
from services.upserter.attempt import Attempt
from services.upserter.classify import prepare
from services.upserter.gate import PlanOutdated, advance_epoch, take_gate
from services.upserter.plan import plan_of
from services.upserter.stage import upsert
from services.upserter.write import assert_reconciled, write
from shared.errors import TransientFault, Waiting
from shared.mysql.connect import LONG_SILENCE_SECONDS, Database, connect
from shared.stage import Parts
from tests.production import content
from tests.upserts import V1, apply, counts, deliver, family, row, stage, take

ATTEMPT = Attempt(
    "L", "acme", version=1, run=1, staged_run=1, validated_run=1, fence=1, applied_fence=0
)


# A row that is planned, so that something happens while the plan is made.
ONE_TO_REJECT = {"customers": [row("customers", "C-1"), row("customers", "C-2", country="GBR")]}


async def test_a_plan_that_another_upsert_outdated_is_not_written(database: Database) -> None:
    await stage(database, "L", 1, family("1"))
    prepared = await prepare((database,), plan_of(V1), ATTEMPT)
    await advance_epoch(database, ATTEMPT)
    with pytest.raises(PlanOutdated):
        async with database.transaction():
            await take_gate(database, ATTEMPT, prepared.epoch)


async def test_a_load_makes_its_plan_again_until_it_holds(parts: Parts, database: Database) -> None:
    await database.execute("INSERT INTO source_gate (source_system) VALUES ('acme')")
    await database.execute(
        "CREATE TRIGGER overtaken AFTER INSERT ON plan_customers FOR EACH ROW "
        "UPDATE source_gate SET epoch = epoch + 1 WHERE epoch < 2"
    )
    told = await deliver(parts, database, "L", 1, {**family("1"), **ONE_TO_REJECT})
    assert told["customers"] == {"inserted": 1, "rejected": 1}
    assert await database.fetch_value("SELECT epoch FROM source_gate") == 3


async def test_a_load_that_is_overtaken_time_and_again_is_tried_later(
    parts: Parts, database: Database
) -> None:
    await database.execute("INSERT INTO source_gate (source_system) VALUES ('acme')")
    await database.execute(
        "CREATE TRIGGER overtaken AFTER INSERT ON plan_customers FOR EACH ROW "
        "UPDATE source_gate SET epoch = epoch + 1"
    )
    with pytest.raises(TransientFault):
        await deliver(parts, database, "L", 1, {**family("1"), **ONE_TO_REJECT})
    assert not any((await content(database)).values())


async def test_a_gate_that_another_load_holds_is_waited_for_outside(
    database: Database, database_url: str
) -> None:
    await stage(database, "L", 1, family("1"))
    prepared = await prepare((database,), plan_of(V1), ATTEMPT)
    async with connect(database_url) as other, other.transaction():
        await take_gate(other, ATTEMPT, prepared.epoch)
        with pytest.raises(Waiting) as caught:
            async with database.transaction():
                await take_gate(database, ATTEMPT, prepared.epoch)
    assert caught.value.older is None


async def test_a_late_load_locks_no_other_load_out_of_the_ledger(
    parts: Parts, database: Database, database_url: str
) -> None:
    await deliver(parts, database, "new", 2, family("1"))
    await stage(database, "L", 1, family("1", "2"))
    plans = plan_of(V1)
    prepared = await prepare((database,), plans, ATTEMPT)
    assert prepared.newer_loads == ("new",)
    async with connect(database_url) as other, database.transaction():
        await write(database, plans, ATTEMPT, prepared)
        await other.execute("SET SESSION innodb_lock_wait_timeout = 1")
        renewed = "UPDATE load_ledger SET lease_until = NOW(6) WHERE load_id = 'new'"
        assert await other.execute(renewed) == 1


async def test_no_statement_reads_a_whole_table_though_the_tables_statistics_are_empty(
    database: Database,
) -> None:
    values = ATTEMPT.keys(
        first_hash=1, last_hash=2**62, expected="insert", refused_parents=1, most=1, most_copies=1
    )
    by_key = (
        *("sample", "classify", "classify_all", "update_rows"),
        *("insert_keys", "insert_rows", "insert_expected_keys", "insert_expected_rows"),
        *("count_planned", "count_inserted", "count_unchanged"),
    )
    statements = chain.from_iterable(
        (plan.sql[name] for name in by_key if name in plan.sql) for plan in plan_of(V1)
    )
    for sql in statements:
        rows = await database.fetch_all(f"EXPLAIN FORMAT=TREE {sql}", values)
        tree = "".join(str(value) for told in rows for value in told.values())
        assert "Table scan on" not in tree.replace("Table scan on classified", ""), tree
        assert "hash join" not in tree, tree


async def test_a_long_write_does_not_cost_the_connection_that_counts_beside_it(
    parts: Parts, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deliver(parts, database, "L1", 1, family("1"))
    silences: list[int] = []

    async def looking(transaction: Database, second: Database, *others: Any) -> None:
        silences.append(await second.fetch_value("SELECT @@wait_timeout"))
        await assert_reconciled(transaction, second, *others)

    monkeypatch.setattr(upserter, "assert_reconciled", looking)
    await deliver(parts, database, "L2", 2, family("1"))
    assert silences == [LONG_SILENCE_SECONDS]


async def wait_for_an_older_load(parts: Parts, database: Database, minutes: int) -> None:
    """`new` has waited as long for A, which was applied then; B, older too, has just come."""
    await stage(database, "new", 9, {"vehicles": [row("vehicles", "V", "C")]})
    await stage(database, "A", 1, family("1"))
    claim = await take(parts, "new")
    with pytest.raises(Waiting) as caught:
        await upsert(claim, parts)
    await parts.ledger.wait(claim, caught.value)
    await database.execute(
        "UPDATE load_ledger SET waiting_since = waiting_since - INTERVAL %(minutes)s MINUTE,"
        " waiting_for_since = waiting_for_since - INTERVAL %(minutes)s MINUTE",
        {"minutes": minutes},
    )
    await apply(parts, "A")
    await stage(database, "B", 2, {"customers": [row("customers", "C")]})


async def test_the_time_that_a_load_has_waited_for_one_older_load_does_not_count_for_another(
    parts: Parts, database: Database
) -> None:
    await wait_for_an_older_load(parts, database, minutes=20)
    before = await parts.ledger.read("new")
    claim = await take(parts, "new")
    with pytest.raises(Waiting, match="B goes first") as caught:
        await upsert(claim, parts)
    await parts.ledger.wait(claim, caught.value)
    after = await parts.ledger.read("new")
    assert before is not None
    assert after is not None
    assert (before.waiting_for, after.waiting_for) == ("A", "B")
    assert before.waiting_since == after.waiting_since
    assert after.waiting_for_since is not None
    assert (after.now - after.waiting_for_since).total_seconds() < 60
    await apply(parts, "B")
    await database.execute("UPDATE load_ledger SET next_attempt_at = NULL")
    await apply(parts, "new")
    assert (await counts(database, "new"))["vehicles"] == {"inserted": 1}


async def test_a_load_does_not_wait_for_ever_though_one_older_load_comes_after_the_other(
    parts: Parts, database: Database
) -> None:
    await wait_for_an_older_load(parts, database, minutes=61)
    await apply(parts, "new")
    warnings = await database.fetch_value("SELECT warnings FROM load_ledger WHERE load_id = 'new'")
    assert re.search(r"after waiting 36\d\d s for older loads; B is still on its way", warnings)
