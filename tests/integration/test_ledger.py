"""Claims, fences, milestones and recovery on the real MySQL."""

import asyncio
import threading

import pytest

from shared.bus.memory import MemoryBus
from shared.bus.port import Answer, Message
from shared.errors import Failure, LeaseLost, TransientFault, Waiting
from shared.events import Event, StageName
from shared.ledger.delivery import Delivery, Verdict
from shared.ledger.lease import Claim, kept_alive
from shared.ledger.mysql import Ledger
from shared.ledger.states import State
from shared.mysql.connect import Database
from shared.outbox import publish_due
from shared.settings import Settings

NEW_LOAD = """INSERT INTO load_ledger (load_id, source_system, partner, bucket, prefix, state,
    reached, run, owned, version, received_at, started_at, updated_at)
VALUES (%(load_id)s, 'acme', 'acme', 'drops', 'imports/acme/L/', %(state)s, %(state)s, 1, TRUE,
    %(version)s, NOW(6), NOW(6), NOW(6))"""


async def new_load(
    database: Database, state: State, *, load_id: str = "L", version: int = 1
) -> None:
    values = {"load_id": load_id, "state": state, "version": version}
    await database.execute(NEW_LOAD, values)


def event(stage: StageName, *, load_id: str = "L", run: int = 1) -> Delivery:
    return Delivery(stage, Event(load_id=load_id, event_id="e", run=run), "drops")


def replay(stage: StageName) -> Delivery:
    return Delivery(stage, Event(load_id="L"), "drops")


async def claimed(ledger: Ledger, delivery: Delivery, key: str | None = None) -> Claim:
    claim = await ledger.claim(delivery, key)
    assert isinstance(claim, Claim), claim
    return claim


async def finish(ledger: Ledger, claim: Claim) -> None:
    async with ledger.connect(claim) as own, ledger.milestone(claim, own):
        pass


async def kinds(database: Database) -> list[str]:
    rows = await database.fetch_all("SELECT kind FROM load_event ORDER BY event_no")
    return [row["kind"] for row in rows]


async def test_a_claim_raises_the_fence_and_is_history_with_its_message(
    ledger: Ledger, database: Database
) -> None:
    await new_load(database, State.VALIDATED)
    claim = await claimed(ledger, event("stager"), "sub/1/now")
    load = await ledger.read("L")
    assert load is not None
    assert (load.fence, load.lease_owner, load.leased) == (claim.fence, claim.token, True)
    noted = await database.fetch_one("SELECT * FROM load_event")
    assert noted is not None
    assert (noted["kind"], noted["delivery_key"]) == ("claimed", "sub/1/now")


async def test_of_many_workers_that_race_for_a_load_one_gets_it(
    ledger: Ledger, database: Database
) -> None:
    await new_load(database, State.VALIDATED)
    claims = await asyncio.gather(*(ledger.claim(event("stager"), None) for _ in range(8)))
    assert sorted(isinstance(claim, Claim) for claim in claims) == [False] * 7 + [True]
    assert set(claims) - {claim for claim in claims if isinstance(claim, Claim)} == {Verdict.BUSY}


async def test_a_milestone_moves_the_state_and_writes_the_next_event_with_the_work(
    ledger: Ledger, database: Database
) -> None:
    await new_load(database, State.VALIDATED)
    claim = await claimed(ledger, event("stager"))
    async with ledger.connect(claim) as own, ledger.milestone(claim, own):
        await own.execute("INSERT INTO source_gate (source_system) VALUES ('acme')")
    load = await ledger.read("L")
    assert load is not None
    assert (load.state, load.staged_run, load.leased) == (State.STAGED, 1, False)
    assert await database.fetch_value("SELECT COUNT(*) FROM source_gate") == 1
    sent = await database.fetch_one("SELECT topic, run, published_at FROM outbox")
    assert sent == {"topic": "staged", "run": 1, "published_at": None}


async def test_a_worker_that_dies_right_after_its_commit_has_left_the_next_event(
    ledger: Ledger, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_room: str, step: str, **_where: str) -> None:
        if step == "committed":
            raise KeyboardInterrupt

    await new_load(database, State.VALIDATED)
    claim = await claimed(ledger, event("stager"))
    monkeypatch.setattr("shared.ledger.mysql.passed", die)
    with pytest.raises(KeyboardInterrupt):
        async with ledger.connect(claim) as own, ledger.milestone(claim, own):
            pass
    assert await database.fetch_value("SELECT state FROM load_ledger") == "staged"
    assert await database.fetch_value("SELECT topic FROM outbox") == "staged"


async def test_a_worker_whose_fence_was_passed_leaves_nothing_behind(
    ledger: Ledger, database: Database
) -> None:
    await new_load(database, State.VALIDATED)
    late = await claimed(ledger, event("stager"))
    async with ledger.connect(late) as own:
        await database.execute("UPDATE load_ledger SET lease_until = NOW(6) - INTERVAL 1 SECOND")
        successor = await claimed(ledger, event("stager"))
        assert successor.predecessor == late.token
        with pytest.raises(LeaseLost):
            async with ledger.milestone(late, own):
                await own.execute("INSERT INTO source_gate (source_system) VALUES ('acme')")
    with pytest.raises(LeaseLost):
        await ledger.fail(late, Failure.of("file.missing", "customers.csv"))
    assert await database.fetch_value("SELECT COUNT(*) FROM source_gate") == 0
    await finish(ledger, successor)


async def test_a_successor_ends_what_a_dead_worker_left_running_and_waits_for_its_rollback(
    ledger: Ledger, database: Database
) -> None:
    await new_load(database, State.VALIDATED)
    dead = await claimed(ledger, event("stager"))
    left = asyncio.Event()

    async def go_on_after_death() -> None:
        async with ledger.connect(dead) as own, own.transaction():
            await own.execute("INSERT INTO source_gate (source_system) VALUES ('acme')")
            left.set()
            await own.execute("SELECT SLEEP(60)")

    ghost = asyncio.create_task(go_on_after_death())
    await left.wait()
    await database.execute("UPDATE load_ledger SET lease_until = NOW(6) - INTERVAL 1 SECOND")
    successor = await claimed(ledger, event("stager"))
    await ledger.end_predecessor(successor)
    await database.execute("INSERT INTO source_gate (source_system) VALUES ('acme')")
    with pytest.raises(TransientFault):
        await ghost


async def test_a_heartbeat_keeps_a_lease_longer_than_its_length(
    ledger: Ledger, database: Database, settings: Settings
) -> None:
    await new_load(database, State.VALIDATED)
    claim = await claimed(ledger, event("stager"))
    async with kept_alive(claim, ledger.url, lease_seconds=2, heartbeat_seconds=0.2):
        blocked_event_loop = threading.Event()
        blocked_event_loop.wait(2.5)
        assert await ledger.claim(event("stager"), None) is Verdict.BUSY


async def test_a_worker_that_lost_its_lease_is_stopped_at_once(
    ledger: Ledger, database: Database
) -> None:
    await new_load(database, State.VALIDATED)
    claim = await claimed(ledger, event("stager"))
    with pytest.raises(LeaseLost):
        async with kept_alive(claim, ledger.url, lease_seconds=2, heartbeat_seconds=0.1):
            await claimed(ledger, replay("stager"))
            await asyncio.Event().wait()


async def test_a_finished_stage_is_not_taken_for_a_lost_lease(
    ledger: Ledger, database: Database
) -> None:
    await new_load(database, State.VALIDATED)
    claim = await claimed(ledger, event("stager"))
    async with kept_alive(claim, ledger.url, lease_seconds=2, heartbeat_seconds=0.05):
        await finish(ledger, claim)
        threading.Event().wait(0.3)
        await asyncio.sleep(0)


async def test_a_rejected_run_is_failed_with_its_reason_and_an_event(
    ledger: Ledger, database: Database
) -> None:
    await new_load(database, State.RECEIVED)
    claim = await claimed(ledger, event("validator"))
    await ledger.fail(claim, Failure.of("file.missing", "no customers.csv", file="customers.csv"))
    row = await database.fetch_one("SELECT * FROM load_ledger")
    assert row is not None
    assert (row["state"], row["failure_code"], row["failed_run"]) == ("failed", "file.missing", 1)
    assert (row["failure_file"], row["lease_owner"]) == ("customers.csv", None)
    assert await database.fetch_value("SELECT topic FROM outbox") == "failed"
    reporter = await claimed(ledger, event("reporter"))
    await finish(ledger, reporter)
    load = await ledger.read("L")
    assert load is not None
    assert (load.state, load.reported_run, load.due_topic) == (State.FAILED, 1, None)


async def test_a_fault_that_may_pass_is_tried_again_later_and_in_the_end_wants_a_person(
    ledger: Ledger, database: Database, settings: Settings
) -> None:
    await new_load(database, State.VALIDATED)
    for attempt in range(1, settings.attempts_before_attention + 1):
        claim = await claimed(ledger, event("stager"))
        await ledger.postpone(claim, OSError("the disk is full"))
        load = await ledger.read("L")
        assert load is not None
        assert (load.state, load.attempts) == (State.VALIDATED, attempt)
        assert load.next_attempt_at is not None
        expected = ledger.settings.retry_base_seconds * 2 ** (attempt - 1)
        assert (load.next_attempt_at - load.now).total_seconds() <= expected
        await database.execute("UPDATE load_ledger SET next_attempt_at = NULL")
    assert await ledger.claim(event("stager"), None) is Verdict.NEEDS_ATTENTION
    row = await database.fetch_one("SELECT last_error FROM load_ledger")
    assert row == {"last_error": "OSError: the disk is full"}
    revived = await claimed(ledger, replay("stager"))
    assert (revived.run, revived.load.attempts) == (2, 0)


async def test_a_load_that_is_tried_for_ever_is_still_postponed(
    ledger: Ledger, database: Database, settings: Settings
) -> None:
    patient = Ledger(settings.model_copy(update={"attempts_before_attention": 1_000_000}))
    await new_load(database, State.VALIDATED)
    await database.execute("UPDATE load_ledger SET attempts = 1100")
    claim = await claimed(patient, event("stager"))
    assert not await patient.postpone(claim, OSError("the disk is full"))


async def test_a_replay_takes_over_a_live_lease_and_starts_a_new_run(
    ledger: Ledger, database: Database
) -> None:
    await new_load(database, State.STAGED)
    at_work = await claimed(ledger, event("upserter"))
    claim = await claimed(ledger, replay("stager"), "sub/7/then")
    assert (claim.run, claim.load.state, claim.predecessor) == (2, State.VALIDATED, at_work.token)
    assert claim.fence > at_work.fence
    assert await ledger.claim(replay("stager"), "sub/7/then") is Verdict.ALREADY_REPLAYED
    assert await ledger.claim(event("upserter", run=1), None) is Verdict.OLDER_RUN
    assert await kinds(database) == ["claimed", "replayed", "already_replayed", "older_run"]


async def test_a_replay_that_dies_is_recovered_by_its_own_event(
    ledger: Ledger, database: Database
) -> None:
    await new_load(database, State.STAGED)
    await claimed(ledger, replay("upserter"))
    row = await database.fetch_one("SELECT topic, run, published_at FROM outbox")
    assert row is not None
    assert (row["topic"], row["run"]) == ("staged", 2)
    assert row["published_at"] is not None


async def test_a_failed_load_cannot_be_replayed_into_the_place_of_another(
    ledger: Ledger, database: Database
) -> None:
    await new_load(database, State.VALIDATED)
    await database.execute("UPDATE load_ledger SET state = 'failed', failed_run = 1")
    await new_load(database, State.VALIDATED, load_id="M", version=1)
    assert await ledger.claim(replay("stager"), None) is Verdict.ORDER_CONFLICT
    load = await ledger.read("L")
    assert load is not None
    assert (load.state, load.run) == (State.FAILED, 1)


async def test_an_unknown_load_leaves_a_line_of_history(ledger: Ledger, database: Database) -> None:
    assert await ledger.claim(event("stager", load_id="née\n" * 60), None) is Verdict.UNKNOWN_LOAD
    assert await kinds(database) == ["unknown_load"]


async def test_a_duplicate_sends_the_next_event_again_while_its_consumer_has_not_finished(
    ledger: Ledger, database: Database
) -> None:
    await new_load(database, State.VALIDATED)
    await finish(ledger, await claimed(ledger, event("stager")))
    bus = MemoryBus()
    assert await publish_due(ledger.url, bus, "drops") == 1
    assert await publish_due(ledger.url, bus, "drops") == 0
    first = await database.fetch_value("SELECT event_id FROM outbox")
    assert await ledger.claim(event("stager"), None) is Verdict.DUPLICATE
    assert await publish_due(ledger.url, bus, "drops") == 1
    assert await database.fetch_value("SELECT event_id FROM outbox") == first
    await finish(ledger, await claimed(ledger, event("upserter")))
    assert await publish_due(ledger.url, bus, "drops") == 1
    assert await ledger.claim(event("stager"), None) is Verdict.DUPLICATE
    due = await database.fetch_all("SELECT topic FROM outbox WHERE published_at IS NULL")
    assert due == [{"topic": "upserted"}]


async def test_what_the_bus_did_not_take_stays_in_the_outbox(
    ledger: Ledger, database: Database
) -> None:
    class DeadBus(MemoryBus):
        async def publish(self, topic: str, data: bytes, attributes: object) -> str:
            raise TransientFault("the bus is away")

    await new_load(database, State.VALIDATED)
    await finish(ledger, await claimed(ledger, event("stager")))
    with pytest.raises(TransientFault):
        await publish_due(ledger.url, DeadBus(), "drops")
    bus, seen = MemoryBus(), []

    async def take(message: Message) -> Answer:
        seen.append(Event.parse(message.data))
        return Answer.DONE

    bus.subscribe("staged", "test", take)
    assert await publish_due(ledger.url, bus, "drops") == 1
    await bus.drain()
    assert [(one.event, one.load_id, one.run) for one in seen] == [("staged", "L", 1)]
    assert seen[0].event_id is not None


async def test_events_of_loads_that_live_elsewhere_are_not_published(
    ledger: Ledger, database: Database
) -> None:
    await new_load(database, State.VALIDATED)
    await finish(ledger, await claimed(ledger, event("stager")))
    assert await publish_due(ledger.url, MemoryBus(), "another bucket") == 0


async def test_a_load_that_waits_for_its_turn_is_woken_by_the_end_of_the_other(
    ledger: Ledger, database: Database
) -> None:
    await new_load(database, State.STAGED, load_id="L", version=1)
    await new_load(database, State.VALIDATED, load_id="M", version=2)
    await finish(ledger, await claimed(ledger, event("stager", load_id="M")))
    await publish_due(ledger.url, MemoryBus(), "drops")
    newer = await claimed(ledger, event("upserter", load_id="M"))
    await ledger.wait(newer, Waiting("load L is older", older="L"))
    waiting = await ledger.read("M")
    assert waiting is not None
    assert waiting.waiting_since is not None
    assert await ledger.claim(event("upserter", load_id="M"), None) is Verdict.NOT_YET_DUE
    await finish(ledger, await claimed(ledger, event("upserter", load_id="L")))
    due = await database.fetch_all(
        "SELECT load_id, topic FROM outbox WHERE published_at IS NULL ORDER BY load_id"
    )
    assert due == [{"load_id": "L", "topic": "upserted"}, {"load_id": "M", "topic": "staged"}]
    again = await claimed(ledger, event("upserter", load_id="M"))
    assert again.load.waiting_since == waiting.waiting_since


@pytest.fixture
async def rejected_replay(ledger: Ledger, database: Database) -> Claim:
    await new_load(database, State.STAGED)
    await finish(ledger, await claimed(ledger, event("upserter")))
    await finish(ledger, await claimed(ledger, event("reporter")))
    claim = await claimed(ledger, replay("upserter"))
    await ledger.fail(claim, Failure.of("rejects.over_limit", "too many", file="customers.csv"))
    return claim


async def test_a_rejected_replay_of_an_applied_load_leaves_it_applied_and_is_told(
    ledger: Ledger, rejected_replay: Claim
) -> None:
    load = await ledger.read("L")
    assert load is not None
    assert (load.state, load.run, load.applied_run) == (State.REPORTED, 2, 1)
    assert load.unreported
    await finish(ledger, await claimed(ledger, event("reporter", run=2)))
    told = await ledger.read("L")
    assert told is not None
    assert (told.state, told.reported_run, told.due_topic) == (State.REPORTED, 2, None)
