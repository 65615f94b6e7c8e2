"""Whose turn it is, and what an upsert reads, locks and does at once while it has its turn."""

import asyncio
import re
from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Any

import pytest

from services.upserter import apply as applying
from services.upserter import pieces
from services.upserter import stage as upserter
from services.upserter.attempt import Attempt, Counts
from services.upserter.gate import Gate, add_gate, take_gate
from services.upserter.hands import Hands
from services.upserter.stage import upsert
from services.upserter.write import count_piece
from shared.errors import Rejected, TransientFault, Waiting
from shared.identity import hashed_id
from shared.mysql.connect import LONG_SILENCE_SECONDS, Database, connect
from shared.stage import Parts
from tests.production import content
from tests.upserts import (
    PLANS,
    apply,
    counts,
    deliver,
    family,
    plan_all,
    rejects,
    row,
    stage,
    take,
    write_all,
)

ATTEMPT = Attempt(
    "L", "acme", version=1, run=1, staged_run=1, validated_run=1, fence=1, applied_fence=0
)


async def test_a_gate_that_another_load_holds_is_waited_for_outside(
    database: Database, database_url: str
) -> None:
    await add_gate(database, ATTEMPT)
    async with connect(database_url) as other, other.transaction():
        await take_gate(other, ATTEMPT)
        with pytest.raises(Waiting) as caught:
            async with database.transaction():
                await take_gate(database, ATTEMPT)
    assert caught.value.older is None


async def test_a_gate_that_is_not_there_is_not_passed(database: Database) -> None:
    with pytest.raises(TransientFault, match="the gate of acme has gone"):
        async with database.transaction():
            await take_gate(database, ATTEMPT)


async def test_nothing_is_planned_before_the_gate_is_taken(
    parts: Parts, database: Database, database_url: str
) -> None:
    await stage(database, "L", 1, {"customers": [row("customers", "C", country="GBR")]})
    await add_gate(database, ATTEMPT)
    async with connect(database_url) as other, other.transaction():
        await take_gate(other, ATTEMPT)
        with pytest.raises(Waiting):
            await apply(parts, "L")
    assert await database.fetch_value("SELECT COUNT(*) FROM plan_customers") == 0
    assert await rejects(database, "L", "customers") == {}


async def test_a_file_is_planned_while_the_one_before_is_being_written(
    parts: Parts, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[str, str]] = []

    def noted(_room: str, step: str, *, entity: str) -> None:
        steps.append((step, entity))

    monkeypatch.setattr(applying, "passed", noted)
    await database.execute(
        "CREATE TRIGGER held_up BEFORE INSERT ON customers FOR EACH ROW "
        "SET NEW.city = IF(GET_LOCK('held up', 60), NEW.city, NULL)"
    )
    async with connect(database_url) as other:
        await other.fetch_value("SELECT GET_LOCK('held up', 0)")
        delivery = asyncio.create_task(deliver(parts, database, "L", 1, family("1")))
        while ("plan_made", "line_items") not in steps:
            assert not delivery.done()
            await asyncio.sleep(0.01)
        assert ("entity_written", "customers") not in steps
        await other.fetch_value("SELECT RELEASE_LOCK('held up')")
        told = await delivery
    assert told == {name: {"inserted": 1} for name in told}


async def test_a_file_is_counted_while_it_is_being_written(
    parts: Parts, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "ROWS_A_PIECE", 1)
    first_piece = asyncio.Event()

    async def noted(*given: Any) -> int:
        rows = await count_piece(*given)
        first_piece.set()
        return rows

    monkeypatch.setattr(applying, "count_piece", noted)
    keys = sorted((f"C-{no}" for no in range(20)), key=partial(hashed_id, "customers", "acme"))
    rows = [row("customers", keys[0], city="a"), row("customers", keys[-1], city="b")]
    await database.execute(
        "CREATE TRIGGER held_up BEFORE INSERT ON customers FOR EACH ROW "
        "SET NEW.city = IF(NEW.city = 'a' OR GET_LOCK('held up', 60), NEW.city, NULL)"
    )
    async with connect(database_url) as other:
        await other.fetch_value("SELECT GET_LOCK('held up', 0)")
        delivery = asyncio.create_task(deliver(parts, database, "L", 1, {"customers": rows}))
        async with asyncio.timeout(30):
            await first_piece.wait()
        assert not delivery.done()
        await other.fetch_value("SELECT RELEASE_LOCK('held up')")
        assert (await delivery)["customers"] == {"inserted": 2}


async def test_a_load_in_many_pieces_comes_out_as_in_one(
    parts: Parts, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "ROWS_A_PIECE", 1)
    await deliver(parts, database, "L", 1, family("old"))
    names = [str(number) for number in range(9)]
    changed = [row("customers", "C-old", city="Elsewhere")]
    customers = [*changed, *family(*names)["customers"]]
    mostly_new = {**family("old", *names), "customers": customers}
    told = await deliver(parts, database, "M", 2, mostly_new)
    assert told.pop("customers") == {"inserted": 9, "updated": 1}
    assert list(told.values()) == [{"inserted": 9, "unchanged": 1}] * 3
    told = await deliver(parts, database, "N", 3, mostly_new)
    assert list(told.values()) == [{"unchanged": 10}] * 4
    others = [row("customers", "C-0", city="Elsewhere"), row("customers", "C-bad", country="GBR")]
    mostly_old = [*changed, *others, *family("new", *names[1:])["customers"]]
    told = await deliver(parts, database, "O", 4, {"customers": mostly_old})
    assert told["customers"] == {"inserted": 1, "updated": 1, "unchanged": 9, "rejected": 1}


async def test_a_load_with_too_many_rejects_in_its_last_file_is_told_of_all_and_writes_nothing(
    parts: Parts, database: Database
) -> None:
    rows = {
        **family("1"),
        "customers": [row("customers", "C-1"), row("customers", "C-2", country="GBR")],
        "line_items": [row("line_items", f"L-{no}", "nobody") for no in range(200)],
    }
    with pytest.raises(Rejected, match="200 of 200 rows") as caught:
        await deliver(parts, database, "L", 1, rows)
    assert caught.value.failure.code == "rejects.over_limit"
    assert not any((await content(database)).values())
    assert list(await rejects(database, "L", "customers")) == [2]
    assert len(await rejects(database, "L", "line_items")) == 200


@pytest.mark.parametrize("verdict", ["hold_limit", "count_piece"])
async def test_a_verdict_that_was_reached_after_the_writer_was_lost_is_none(
    verdict: str, parts: Parts, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers: list[int] = []
    original = getattr(applying, verdict)

    async def taking(writer: Database, *given: Any, **named: Any) -> Gate:
        writers.append(await writer.fetch_value("SELECT CONNECTION_ID()"))
        return await take_gate(writer, *given, **named)

    async def late(*given: Any) -> Any:
        if verdict == "hold_limit" or given[1].entity.name == "line_items":
            await lose(database, writers[0])
        return await original(*given)

    monkeypatch.setattr(upserter, "take_gate", taking)
    monkeypatch.setattr(applying, verdict, late)
    rejected = [row("customers", f"R-{no}", country="GBR") for no in range(200)]
    rows = {"customers": rejected} if verdict == "hold_limit" else family("1")
    with pytest.raises(TransientFault):
        await deliver(parts, database, "L", 1, rows)
    assert not any((await content(database)).values())


async def lose(database: Database, writer: int) -> None:
    """End the connection that holds the gate, which comes free when all that it wrote is undone."""
    await database.execute(f"KILL CONNECTION {writer}")
    await database.execute("SELECT epoch FROM source_gate FOR UPDATE")


async def test_a_late_load_locks_no_other_load_out_of_the_ledger(
    parts: Parts, database: Database, database_url: str
) -> None:
    await deliver(parts, database, "new", 2, family("1"))
    await stage(database, "L", 1, family("1", "2"))
    async with connect(database_url) as writer, writer.transaction():
        gate = await take_gate(writer, ATTEMPT)
        assert [load.load_id for load in gate.newer] == ["new"]
        await write_all(writer, ATTEMPT, gate, await plan_all(database, ATTEMPT, gate))
        await database.execute("SET SESSION innodb_lock_wait_timeout = 1")
        renewed = "UPDATE load_ledger SET lease_until = NOW(6) WHERE load_id = 'new'"
        assert await database.execute(renewed) == 1


async def test_no_statement_reads_a_whole_table_though_the_tables_statistics_are_empty(
    database: Database,
) -> None:
    values = ATTEMPT.keys(
        first_hash=1, last_hash=2**62, expected="insert", refused_parents=1, most=1, most_copies=1
    )
    by_key = (
        *("survey", "sample", "classify", "classify_all", "update_rows"),
        *("insert_keys", "insert_rows", "insert_expected_keys", "insert_expected_rows"),
        *("count_planned", "count_inserted", "count_unchanged"),
        *("count_planned_inserted", "count_planned_unchanged"),
    )
    statements = chain.from_iterable(
        (sql[name] for name in by_key if name in sql)
        for plan in PLANS
        for sql in (plan.sql, plan.sql_of_all)
    )
    for sql in statements:
        rows = await database.fetch_all(f"EXPLAIN FORMAT=TREE {sql}", values)
        tree = "".join(str(value) for told in rows for value in told.values())
        assert "Table scan on" not in tree.replace("Table scan on classified", ""), tree
        assert "ndex scan on" not in tree, tree
        assert "hash join" not in tree, tree


async def test_a_long_write_does_not_cost_the_connections_that_help_beside_it(
    parts: Parts, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    helpers: list[Database] = []
    silences: list[int] = []

    def with_helpers(writer: Database, given: Sequence[Database]) -> Hands:
        helpers.extend(given)
        return Hands(writer, given)

    async def looking(*given: Any, **named: Any) -> dict[str, Counts]:
        asked = "SELECT @@wait_timeout"
        silences.extend([await helper.fetch_value(asked) for helper in helpers])
        return await applying.apply(*given, **named)

    monkeypatch.setattr(upserter, "Hands", with_helpers)
    monkeypatch.setattr(upserter, "apply", looking)
    await deliver(parts, database, "L", 1, family("1"))
    assert silences == [LONG_SILENCE_SECONDS] * 2


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
