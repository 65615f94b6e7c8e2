"""What the reporter counts and the sweep shows, where somebody takes metrics."""

from dataclasses import replace
from pathlib import Path

import pytest

from services.reporter import stage as reporter
from shared.bus.memory import MemoryBus
from shared.dead_letters import take_letter
from shared.errors import TransientFault
from shared.events import Topic
from shared.ledger.states import State
from shared.mysql.connect import Database
from shared.stage import Parts
from shared.sweep import sweep
from shared.telemetry import backlog
from shared.telemetry.backlog import read_backlog
from shared.telemetry.metrics import Backlog
from tests.drops import ROWS, Drop
from tests.integration.test_dead_letters import dead
from tests.integration.test_outbox import LameBus
from tests.loads import replay, run


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Backlog]:
    """What would be exported, in a process that has somewhere to export to."""
    seen: list[Backlog] = []
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(backlog, "show_backlog", seen.append)
    return seen


async def test_the_age_of_the_outbox_is_shown_just_when_pubsub_takes_nothing(
    parts: Parts, bucket_dir: Path, database: Database, shown: list[Backlog]
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    await run(parts, drop)
    await database.execute(
        "UPDATE outbox SET published_at = NULL, created_at = NOW(6) - INTERVAL 90 SECOND"
    )
    with pytest.raises(TransientFault, match="does not exist"):
        await sweep(replace(parts, bus=LameBus(*Topic)))
    (seen,) = shown
    assert 90 <= seen.outbox_age < 150
    assert (seen.loads, seen.oldest_load_age) == ({State.REPORTED: 1}, 0)


async def test_a_load_that_is_not_at_its_end_has_an_age_and_may_need_attention(
    parts: Parts, bus: MemoryBus, bucket_dir: Path, database: Database, shown: list[Backlog]
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    await run(parts, drop)
    await database.execute(
        "UPDATE load_ledger SET state = 'staged', needs_attention = TRUE, "
        "started_at = NOW(6) - INTERVAL 90 SECOND"
    )
    await sweep(replace(parts, bus=bus))
    (seen,) = shown
    assert 90 <= seen.oldest_load_age < 150
    assert (seen.loads, seen.needing_attention) == ({State.STAGED: 1}, 1)
    assert (seen.outbox_age, seen.arrivals_pending) == (0, 0)


async def test_letters_that_wait_are_counted_as_status_counts_them(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    await take_letter(dead(), parts)
    assert (await read_backlog(database, "drops")).dead_letters_waiting == 1
    await run(parts, drop)
    assert (await read_backlog(database, "drops")).dead_letters_waiting == 0


async def test_where_nobody_takes_metrics_nobody_looks(
    parts: Parts, shown: list[Backlog], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    await sweep(parts)
    assert shown == []


async def test_rows_are_counted_with_the_run_that_applied_them_and_not_when_told_again(
    parts: Parts, bucket_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[tuple[str, str, int]] = []
    monkeypatch.setattr(reporter, "count_rows", lambda *what: counted.append(what))
    drop = Drop()
    drop.write(bucket_dir)
    await run(parts, drop)
    rows = {entity: len(rows) for entity, rows in ROWS.items()}
    assert {entity: n for entity, outcome, n in counted if outcome == "inserted"} == rows
    assert sum(n for _, _, n in counted) == sum(rows.values())
    counted.clear()
    await replay(parts, Topic.UPSERTED, drop.load_id)
    assert counted == []
    await replay(parts, Topic.STAGED, drop.load_id)
    assert {entity: n for entity, outcome, n in counted if outcome == "unchanged"} == rows
