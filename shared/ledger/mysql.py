"""The ledger in MySQL: every change of a load's state, each in one transaction with its history."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC
from typing import Any

import pymysql

from shared import outbox
from shared.errors import Failure, LeaseLost, TransientFault, Waiting
from shared.ledger.delivery import Delivery, Verdict, decide
from shared.ledger.lease import Claim, new_token
from shared.ledger.states import (
    MILESTONE,
    TOPIC_OF,
    Load,
    State,
    as_claimed,
    as_replayed,
    pause_seconds,
    state_after_failure,
)
from shared.ledger.takeover import kill_connections
from shared.manifest import is_load_id
from shared.mysql.connect import (
    BRIEF_SILENCE_SECONDS,
    DUPLICATE_ENTRY,
    SILENCE_SECONDS,
    Database,
    Row,
    connect,
)
from shared.mysql.queries import load_queries
from shared.settings import Settings
from shared.steps import passed

SQL = load_queries("shared.ledger", "ledger.sql")
POLL_SECONDS = 0.05
DEAD_WORKER_SECONDS = 300


class Ledger:
    """The shared state machine. One instance serves a process; it holds no connection."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.url = settings.mysql_url

    @asynccontextmanager
    async def connect(
        self,
        claim: Claim,
        *,
        local_infile: bool = False,
        silence_seconds: int = SILENCE_SECONDS,
    ) -> AsyncIterator[Database]:
        """A connection for this worker's work, which a successor ends before it begins its own.

        Raises:
            LeaseLost: a successor came before the connection was there to be ended.
            TransientFault: the database is unreachable, or drops the connection.
        """
        async with connect(
            self.url,
            program_name=claim.program_name,
            local_infile=local_infile,
            silence_seconds=silence_seconds,
        ) as database:
            await self.hold_fence(claim, database)
            yield database

    async def read(self, load_id: str) -> Load | None:
        """One load as it stands, or None where there is none of that name.

        Raises:
            TransientFault: the database is unreachable.
        """
        if not is_load_id(load_id):
            return None
        async with connect(self.url) as database:
            row = await database.fetch_one(SQL["read_load"], {"load_id": load_id})
            return None if row is None else load_of(row)

    async def claim(self, delivery: Delivery, delivery_key: str | None) -> Claim | Verdict:
        """Decide on a message and, where it is its turn, take the lease in the same transaction.

        Raises:
            TransientFault: the database is unreachable.
        """
        try:
            async with (
                connect(self.url, silence_seconds=BRIEF_SILENCE_SECONDS) as database,
                database.transaction(),
            ):
                return await _take(database, delivery, delivery_key, self.settings)
        except pymysql.err.IntegrityError as error:
            if error.args[0] != DUPLICATE_ENTRY:
                raise
        async with connect(self.url) as database:
            await note(database, delivery.event.load_id, Verdict.ORDER_CONFLICT, delivery=delivery)
        return Verdict.ORDER_CONFLICT

    async def end_predecessor(self, claim: Claim) -> None:
        """End what the worker before this one left running, and wait until it is rolled back.

        A killed client's statement goes on in the server, and with it its locks.

        Raises:
            TransientFault: it is still there after DEAD_WORKER_SECONDS, or could not be found.
        """
        if claim.predecessor is not None:
            await self.end_connections(claim.predecessor)

    @asynccontextmanager
    async def milestone(self, claim: Claim, database: Database) -> AsyncIterator[None]:
        """One transaction: the body's work, then the stage's milestone, history and next event.

        Raises:
            LeaseLost: the fence was passed; nothing of the body stands.
            TransientFault: the database broke off; whether the commit was done is settled first.
        """
        try:
            async with database.transaction():
                yield
                await _finish(database, claim)
                passed(claim.stage, "milestone_written", load_id=claim.load.load_id)
        except (pymysql.err.OperationalError, pymysql.err.InterfaceError, OSError) as error:
            database.connection.close()
            await self.end_connections(claim.token)
            if not await self._finished(claim):
                raise TransientFault(f"{claim.stage} of {claim.load.load_id}: {error}") from error
        passed(claim.stage, "committed", load_id=claim.load.load_id)

    async def hold_fence(self, claim: Claim, database: Database) -> None:
        """Keep every successor off until the open transaction ends, if there is one.

        Raises:
            LeaseLost: one has come already.
        """
        if await database.fetch_one(SQL["hold_fence"], _keys(claim)) is None:
            raise LeaseLost(f"{claim.load.load_id}: fence {claim.fence} was passed")

    async def fail(self, claim: Claim, failure: Failure) -> None:
        """Mark the run as rejected, with its reason, and tell the reporter.

        Raises:
            LeaseLost: the fence was passed.
        """
        load = claim.load
        values = {
            **_keys(claim),
            **dataclasses.asdict(failure),
            "state": load.state,
            "next_state": state_after_failure(load),
        }
        async with self._connect_as(claim) as database, database.transaction():
            if await database.execute(SQL["fail"], values) != 1:
                raise LeaseLost(f"{load.load_id}: fence {claim.fence} was passed")
            await note(
                database,
                load.load_id,
                "failed",
                claim=claim,
                detail=f"{failure.code}: {failure.message}",
            )
            await outbox.add(database, load, TOPIC_OF[State.FAILED], claim.run)
            await _wake_waiting(database, load)

    async def postpone(self, claim: Claim, error: BaseException) -> bool:
        """Give the lease back after a fault that may pass, to be taken up again later.

        Returns:
            Whether the load has been tried often enough and now waits for a person.

        Raises:
            TransientFault: the database is unreachable; the lease then ends by itself.
        """
        settings = self.settings
        delay = pause_seconds(
            claim.load.attempts,
            base=settings.retry_base_seconds,
            longest=settings.retry_longest_seconds,
        )
        text = f"{type(error).__name__}: {error}"
        await self.end_connections(claim.token)
        values = {
            **_keys(claim),
            "error": text,
            "delay_seconds": delay,
            "most_attempts": settings.attempts_before_attention,
        }
        async with self._connect_as(claim) as database, database.transaction():
            postponed = await database.execute(SQL["postpone"], values) == 1
            if postponed:
                await note(database, claim.load.load_id, "postponed", claim=claim, detail=text)
        return postponed and claim.load.attempts + 1 >= settings.attempts_before_attention

    async def release(self, claim: Claim) -> None:
        """Give the lease back in mid-work, for another worker to begin the stage anew at once.

        What the work left running in the server is ended first.

        Raises:
            TransientFault: the database is unreachable; the lease then ends by itself.
        """
        await self.end_connections(claim.token)
        async with self._connect_as(claim) as database, database.transaction():
            if await database.execute(SQL["release"], _keys(claim)):
                await note(database, claim.load.load_id, "released", claim=claim)

    async def wait(self, claim: Claim, waiting: Waiting) -> None:
        """Give the lease back until the load that goes first has ended."""
        values = {
            **_keys(claim),
            "older": waiting.older,
            "delay_seconds": self.settings.sweep_seconds,
        }
        async with self._connect_as(claim) as database, database.transaction():
            if await database.execute(SQL["wait"], values):
                await note(
                    database, claim.load.load_id, "waiting", claim=claim, detail=waiting.reason
                )

    async def warn(self, claim: Claim, database: Database, warning: str) -> None:
        """Put a line before the people who read the report."""
        await database.execute(SQL["add_warning"], {**_keys(claim), "warning": warning})

    def _connect_as(self, claim: Claim) -> AbstractAsyncContextManager[Database]:
        return connect(self.url, program_name=claim.program_name)

    async def _finished(self, claim: Claim) -> bool:
        async with connect(self.url) as database:
            return bool(await database.fetch_value(SQL["finished_under"], _keys(claim)))

    async def end_connections(self, token: str) -> None:
        """End what a worker left running in the server, and wait until it is rolled back.

        Raises:
            TransientFault: it is still there after DEAD_WORKER_SECONDS, or could not be found.
        """
        async with connect(self.url) as database, asyncio.timeout(DEAD_WORKER_SECONDS):
            while True:
                if not await kill_connections(database, token):
                    return
                await asyncio.sleep(POLL_SECONDS)


async def note(
    database: Database,
    load_id: str,
    kind: str,
    *,
    claim: Claim | None = None,
    delivery: Delivery | None = None,
    run: int | None = None,
    detail: str | None = None,
    delivery_key: str | None = None,
    replay_key: str | None = None,
) -> None:
    """Append a line to a load's history; claim and delivery know their run and stage."""
    stage = claim.stage if claim else delivery.stage if delivery else None
    if run is None:
        run = claim.run if claim else delivery.event.run if delivery else None
    await database.execute(
        SQL["note"],
        {
            "load_id": load_id,
            "run": run,
            "fence": claim.fence if claim else None,
            "stage": stage,
            "kind": str(kind),
            "detail": detail,
            "delivery_key": delivery_key,
            "replay_key": replay_key,
        },
    )


async def lock_load(database: Database, load_id: str) -> Load | None:
    """Inside a transaction: one load, held against every other decision on it until the end."""
    row = await database.fetch_one(SQL["lock_load"], {"load_id": load_id})
    return None if row is None else load_of(row)


def load_of(row: Row) -> Load:
    """A ledger row as the decisions know it; the database's times are UTC."""
    values: dict[str, Any] = {field.name: row[field.name] for field in dataclasses.fields(Load)}
    for name in ("now", "lease_until", "next_attempt_at", "waiting_since", "waiting_for_since"):
        if values[name] is not None:
            values[name] = values[name].replace(tzinfo=UTC)
    values["state"] = State(row["state"])
    values["reached"] = None if row["reached"] is None else State(row["reached"])
    values["owned"] = bool(row["owned"])
    values["needs_attention"] = bool(row["needs_attention"])
    return Load(**values)


async def _take(
    database: Database, delivery: Delivery, delivery_key: str | None, settings: Settings
) -> Claim | Verdict:
    load_id = delivery.event.load_id
    load = await lock_load(database, load_id) if is_load_id(load_id) else None
    if delivery.is_replay and delivery_key is not None:
        before = await database.fetch_value(SQL["replayed_before"], {"replay_key": delivery_key})
        delivery = dataclasses.replace(delivery, replayed_before=bool(before))
    verdict = decide(delivery, load, settings.attempts_before_attention)
    if load is None or verdict not in {Verdict.CLAIM, Verdict.REPLAY}:
        await note(database, load_id, verdict, delivery=delivery, delivery_key=delivery_key)
        if load is not None and verdict is Verdict.DUPLICATE:
            await outbox.rearm_next(database, load)
        elif verdict is Verdict.GIVE_UP:
            await database.execute(SQL["give_up"], {"load_id": load_id})
        return verdict
    return await _grant(database, delivery, load, delivery_key, settings.lease_seconds)


async def _grant(
    database: Database,
    delivery: Delivery,
    load: Load,
    delivery_key: str | None,
    lease_seconds: float,
) -> Claim:
    tells_failure = delivery.stage == "reporter" and load.failed_run == load.run
    taken = as_replayed(load, delivery.stage) if delivery.is_replay else as_claimed(load)
    claim = Claim(
        load=dataclasses.replace(taken, fence=load.fence + 1),
        stage=delivery.stage,
        run=taken.run,
        fence=load.fence + 1,
        token=new_token(delivery.stage),
        predecessor=load.lease_owner,
    )
    values = {
        "load_id": load.load_id,
        "run": load.run,
        "fence": load.fence,
        "state": taken.state,
        "token": claim.token,
        "lease_seconds": lease_seconds,
        "keeps_failure": tells_failure,
    }
    await database.execute(SQL["replay" if delivery.is_replay else "claim"], values)
    await note(
        database,
        load.load_id,
        "replayed" if delivery.is_replay else "claimed",
        claim=claim,
        detail=delivery.event.reason,
        delivery_key=delivery_key,
        replay_key=delivery_key if delivery.is_replay else None,
    )
    if delivery.is_replay:
        topic = TOPIC_OF[State.FAILED if tells_failure else taken.state]
        await outbox.add(database, load, topic, claim.run, is_published=True)
    return claim


async def _finish(database: Database, claim: Claim) -> None:
    if await database.execute(SQL[f"finish_{claim.stage}"], _keys(claim)) != 1:
        raise LeaseLost(f"{claim.load.load_id}: fence {claim.fence} was passed")
    await note(database, claim.load.load_id, "finished", claim=claim)
    if claim.stage == "reporter" and claim.load.failed_run == claim.run:
        return
    await outbox.add(database, claim.load, TOPIC_OF[MILESTONE[claim.stage]], claim.run)
    if claim.stage == "upserter":
        await _wake_waiting(database, claim.load)


async def _wake_waiting(database: Database, load: Load) -> None:
    values = {"source_system": load.source_system, "load_id": load.load_id}
    if await database.execute(SQL["wake_waiting"], values):
        events = await database.fetch_all(SQL["free_events_of_woken"], values)
        await database.execute_many(outbox.SQL["rearm"], events)


def _keys(claim: Claim) -> dict[str, Any]:
    return {
        "load_id": claim.load.load_id,
        "run": claim.run,
        "fence": claim.fence,
        "token": claim.token,
    }
