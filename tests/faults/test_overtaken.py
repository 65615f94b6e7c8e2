"""A worker that slept between its claim and its work finds that its load has gone on without it."""

from dataclasses import replace
from pathlib import Path

import pytest

from crossdock.pipeline import STAGES
from services.stager.stage import STAGE as STAGER
from services.upserter.stage import STAGE as UPSERTER
from shared.bus.memory import MemoryBus
from shared.errors import LeaseLost
from shared.events import Event
from shared.ledger.delivery import Delivery
from shared.ledger.lease import Claim
from shared.ledger.states import INPUT
from shared.mysql.connect import Database
from shared.stage import Parts, Stage
from tests.drops import HEADERS, Drop
from tests.faults.left import left
from tests.faults.test_bad_days import follow, notify, subscribe


async def claimed_at(stage: Stage, parts: Parts, drop: Drop) -> Claim:
    """The claim of a worker that comes no further."""
    bus = MemoryBus()
    before = STAGES[: STAGES.index(stage)]
    subscribe(replace(parts, bus=bus), bus, lambda handler: handler, *before)
    await notify(parts, bus, drop)
    await bus.drain()
    load = await parts.ledger.read(drop.load_id)
    assert load is not None
    assert load.state is INPUT[stage.name]
    event = Event(load_id=drop.load_id, event_id="by hand", run=1)
    claim = await parts.ledger.claim(Delivery(stage.name, event, "drops"), None)
    assert isinstance(claim, Claim)
    return claim


@pytest.mark.parametrize("stage", [STAGER, UPSERTER])
async def test_it_changes_nothing_when_it_wakes(
    stage: Stage, parts: Parts, bus: MemoryBus, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    drop.files["customers.csv"] += b"C9" + b"," * 10 + b",GBR\n"  # one row to be rejected
    drop.write(bucket_dir)
    late = await claimed_at(stage, parts, drop)
    await database.execute("UPDATE load_ledger SET lease_until = NOW(6) - INTERVAL 1 SECOND")
    subscribe(parts, bus, lambda handler: handler)
    await follow(parts, bus, drop.load_id)
    before = await left(database)
    with pytest.raises(LeaseLost):
        await stage.run(late, parts)
    assert await left(database) == before
    for name in HEADERS:
        assert await database.fetch_value(f"SELECT COUNT(*) FROM {name}") == 3
