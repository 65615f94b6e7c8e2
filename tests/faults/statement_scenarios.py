"""Days on which every statement of a load's way occurs, the rare ones too.

`act` lets a day happen and returns when nothing is left to do; what it prepares by hand goes past
the proxy. Whatever fault strikes meanwhile, the day must end as it does without one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pymysql

from crossdock.pipeline import Ending, run_arrival
from services.stager.stage import STAGE as STAGER
from services.validator.stage import STAGE as VALIDATOR
from shared.bus.memory import MemoryBus
from shared.bus.port import Message
from shared.clock import now
from shared.errors import TransientFault
from shared.events import Event, Topic
from shared.gcs_notification import Arrival
from shared.identity import hashed_id
from shared.ledger.delivery import Delivery
from shared.ledger.lease import Claim
from shared.mysql.connect import connect
from shared.stage import run_stage
from tests.drops import ROWS, Drop, later
from tests.faults.mysql_proxy import StatementFault, StatementFaultKind
from tests.faults.one_process import BUCKET, Day, LameStorage

HELD_SECONDS = 1.0
NOT_DUE = "UPDATE load_ledger SET next_attempt_at = NOW(6) + INTERVAL 60 SECOND WHERE load_id = "
DUE = "UPDATE load_ledger SET next_attempt_at = NOW(6) WHERE load_id = "
END_LEASES = "UPDATE load_ledger SET lease_until = NOW(6) - INTERVAL 1 SECOND"


@dataclass(frozen=True)
class Scenario:
    """One kind of day.

    Attributes:
        name: part of a case's id.
        act: lets the day happen.
        ends: the final state of each load.
        settings: where they differ from the usual ones.
        first_strike: a fault without which the day would not be this one.
        has_foreign_rows: production begins with a row that no load brought, so the oracles that
            hold production against a quiet day of its own cannot be asked.
    """

    name: str
    act: Callable[[Day], Awaitable[None]]
    ends: Mapping[str, str] = field(default_factory=lambda: {"load-1": "reported"})
    settings: Mapping[str, float] = field(default_factory=dict)
    first_strike: StatementFault | None = None
    has_foreign_rows: bool = False


async def new_rows(day: Day) -> None:
    day.open()
    await day.arrive(Drop())
    await day.end()


async def slow_files(day: Day) -> None:
    """Long enough for heartbeats."""
    _hold(day)
    await new_rows(day)


async def changes_and_rejects(day: Day) -> None:
    day.open()
    await day.arrive(Drop())
    await day.settle("load-1")
    await day.arrive(_changed())
    await day.end()


async def late_load(day: Day) -> None:
    day.open()
    await day.arrive(_changed())
    await day.settle("load-2")
    await day.arrive(Drop())
    await day.end()


async def colliding_ids(day: Day) -> None:
    """Another partner's row has the id that a key of this drop hashes to."""
    taken = hashed_id("customers", "acme", "C1")
    await day.database.execute(
        "INSERT INTO customers (customer_id, source_system, source_version, first_load_id, "
        "last_load_id) VALUES (%(taken)s, 'globex', 1, 'before', 'before')",
        {"taken": taken},
    )
    await new_rows(day)


async def too_many_rejects(day: Day) -> None:
    day.open()
    await day.arrive(_faulty())
    await day.end()


async def mended_manifest(day: Day) -> None:
    day.open()
    drop = Drop()
    await day.arrive(drop, manifest=b"{")
    await day.settle(drop.load_id)
    await day.arrive(drop)
    await day.end()


async def refused_manifest(day: Day) -> None:
    """Other bytes under the load_id of an applied load."""
    day.open()
    drop = Drop()
    await day.arrive(drop)
    await day.settle(drop.load_id)
    await day.arrive(drop, manifest=b"{}")
    await day.end()


async def replaced_file(day: Day) -> None:
    """A file that is replaced between validation and staging."""
    drop = Drop()
    await _validated(day, drop)
    (day.lane.root / drop.prefix / "vehicles.csv").write_bytes(b"other bytes")
    day.open()
    await day.end()


async def waits_for_older(day: Day) -> None:
    await _older_rests(day)
    await day.until_row("load_id = 'load-2' AND waiting_since IS NOT NULL")
    await day.database.execute(DUE + "'load-1'")
    await day.end()


async def goes_on_before_older(day: Day) -> None:
    await _older_rests(day)
    await day.settle("load-2")
    await day.database.execute(DUE + "'load-1'")
    await day.end()


async def waits_at_gate(day: Day) -> None:
    await day.database.execute("INSERT INTO source_gate (source_system) VALUES ('acme')")
    day.open()
    gate = connect(day.lane.database_url, program_name="at the gate")
    async with gate as holder, holder.transaction():
        await holder.fetch_all("SELECT * FROM source_gate FOR UPDATE")
        await day.arrive(Drop())
        await day.until_row("load_id IN (SELECT load_id FROM load_event WHERE kind = 'waiting')")
    await day.end()


async def replayed(day: Day) -> None:
    day.open()
    await day.arrive(Drop())
    await day.settle("load-1")
    await day.bus.publish(Topic.STAGED, Event(load_id="load-1").body(), {})
    await day.until_row("load_id = 'load-1' AND run = 2")
    await day.end()


async def taken_over(day: Day) -> None:
    """A replay comes while a worker is at its work."""
    _hold(day)
    day.open()
    await day.arrive(Drop())
    await day.until_row("state = 'validated' AND lease_until > NOW(6)")
    storage = _storage(day)

    async def holds() -> bool:
        return storage.holds

    await day.until(holds, "held")
    await day.deliver(STAGER, Event(load_id="load-1", reason="a drill"))
    await day.end()


async def dead_worker(day: Day) -> None:
    """The last worker died, and its connection is still at work."""
    claim = await _abandoned(day)
    with suppress(pymysql.err.Error, TransientFault):
        url = day.lane.url_of("stager")
        async with connect(url, program_name=claim.program_name) as left_behind:
            await left_behind.connection.begin()
            day.open()
            await day.end()


async def given_up(day: Day) -> None:
    """As many workers died as may."""
    most = day.parts.settings.attempts_before_attention
    await _abandoned(day)
    await day.database.execute(f"UPDATE load_ledger SET attempts = {most - 1}")
    day.open()
    await day.until_row("needs_attention")
    await day.bus.publish(Topic.VALIDATED, Event(load_id="load-1").body(), {})
    await day.until_row("run = 2")
    await day.end()


async def stopped_worker(day: Day) -> None:
    """A worker is told to stop in the middle of its work."""
    await _validated(day, Drop())
    _hold(day)
    event = Event(load_id="load-1", event_id="by hand", run=1)
    message = Message(event.body(), {}, "stager.manifest.validated", "1", now())
    working = asyncio.create_task(run_stage(STAGER, message, day.parts_of("stager")))
    with suppress(TimeoutError):
        async with asyncio.timeout(HELD_SECONDS / 2):
            await asyncio.wait([working])
    working.cancel()
    await asyncio.wait([working])
    day.open()
    await day.end()


async def notice_refused(day: Day) -> None:
    """The bucket takes no ack at first."""
    storage = _storage(day)
    await day.arrive(Drop())
    storage.refuses_writes = True
    day.open()

    async def has_refused() -> bool:
        return storage.refusals > 0

    await day.until(has_refused, "refused")
    storage.refuses_writes = False
    await day.end()


async def run_by_hand(day: Day) -> None:
    """`crossdock run`, as often as a person has to repeat it."""
    arrival = await day.put(Drop())

    async def is_reported() -> bool:
        return await _run_once(day, arrival) is Ending.REPORTED

    await day.until(is_reported, "reported")
    await day.end()


SCENARIOS = (
    Scenario("new", new_rows),
    Scenario("slow", slow_files),
    Scenario("changes", changes_and_rejects, {"load-1": "reported", "load-2": "reported"}),
    Scenario("late", late_load, {"load-1": "reported", "load-2": "reported"}),
    Scenario("collision", colliding_ids, has_foreign_rows=True),
    Scenario("rejects", too_many_rejects, {"load-1": "failed"}),
    Scenario("mended", mended_manifest),
    Scenario("refused", refused_manifest),
    Scenario("replaced", replaced_file, {"load-1": "failed"}),
    Scenario(
        "waits",
        waits_for_older,
        {"load-1": "reported", "load-2": "reported"},
        {"sweep_seconds": 6},
    ),
    Scenario(
        "goes-on",
        goes_on_before_older,
        {"load-1": "reported", "load-2": "reported"},
        {"order_wait_seconds": 0},
    ),
    Scenario("gate", waits_at_gate),
    Scenario("replayed", replayed),
    Scenario("taken-over", taken_over),
    Scenario("dead", dead_worker),
    Scenario("given-up", given_up),
    Scenario("stopped", stopped_worker),
    Scenario("notice", notice_refused),
    Scenario("by-hand", run_by_hand),
    Scenario(
        "postponed",
        new_rows,
        first_strike=StatementFault(
            "services.stager.load.read_files", StatementFaultKind.CUT_BEFORE
        ),
    ),
    Scenario(
        "unsettled",
        new_rows,
        first_strike=StatementFault(
            "shared.ledger.ledger.finish_stager", StatementFaultKind.CUT_AFTER
        ),
    ),
)


def _storage(day: Day) -> LameStorage:
    assert isinstance(day.parts.storage, LameStorage)
    return day.parts.storage


def _hold(day: Day) -> None:
    _storage(day).held_seconds = {"vehicles.csv": HELD_SECONDS}


def _changed() -> Drop:
    """A newer load: changes, a copy, an orphan, and what is no number."""
    customers = [{**row, "city": "Later"} for row in ROWS["customers"]]
    customers += [{"source_customer_id": "C9"}, {"source_customer_id": "C9"}]
    vehicles = [
        *ROWS["vehicles"],
        {"source_vehicle_id": "V8", "source_customer_id": "nobody"},
        {"source_vehicle_id": "V9", "source_customer_id": "C9", "odometer": "12x"},
    ]
    rows = {**ROWS, "customers": customers, "vehicles": vehicles}
    return Drop.of(rows, load_id="load-2", created_at=later(1))


def _faulty() -> Drop:
    rows = [{"source_customer_id": f"C{number}", "country": "GBR"} for number in range(12)]
    return Drop.of({"customers": rows})


async def _validated(day: Day, drop: Drop) -> None:
    day.open(VALIDATOR)
    await day.arrive(drop)
    await day.until_row(f"load_id = '{drop.load_id}' AND state = 'validated'")


async def _older_rests(day: Day) -> None:
    """An older load is validated and not due; a newer one arrives."""
    await _validated(day, Drop())
    await day.database.execute(NOT_DUE + "'load-1'")
    day.open()
    rows = {**ROWS, "customers": [{**row, "city": "Later"} for row in ROWS["customers"]]}
    await day.arrive(Drop.of(rows, load_id="load-2", created_at=later(1)))


async def _abandoned(day: Day) -> Claim:
    """A load that the stager has claimed and left."""
    await _validated(day, Drop())
    event = Event(load_id="load-1", event_id="by hand", run=1)
    claim = await day.ledger.claim(Delivery("stager", event, BUCKET), None)
    assert isinstance(claim, Claim)
    await day.database.execute(END_LEASES)
    return claim


async def _run_once(day: Day, arrival: Arrival) -> Ending | None:
    bus = MemoryBus(max_attempts=3, backoff_seconds=0.01)
    parts = replace(day.parts_of("operator"), bus=bus)
    with suppress(TransientFault):
        return (await run_arrival(arrival, parts, bus, progress=lambda _: None)).ending
    return None
