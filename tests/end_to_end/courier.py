"""Drops that are brought one after the other, and what has to hold of each."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from google.cloud.storage import Client

from crossdock.stack import running
from shared.mysql.connect import Database, connect
from shared.storage.gcs import GcsStorage
from tests.drops import Drop
from tests.end_to_end.bad_inputs import Delivery, described
from tests.end_to_end.outcomes import Outcome, assert_told_once, followed, upload

PATIENCE_SECONDS = 90


@dataclass(frozen=True, slots=True)
class Courier:
    """Brings drops to the running stack and waits for what becomes of each."""

    stack: running.StackInfo
    storage: GcsStorage
    database: Database

    async def bring(self, delivery: Delivery) -> Outcome:
        """Upload a drop, its manifest last, and follow it to its end."""
        await self.leave(delivery)
        found = await self.storage.stat(delivery.manifest_name)
        assert found is not None
        return await self.follow(delivery, found.generation)

    async def leave(self, delivery: Delivery) -> None:
        """Upload a drop and go."""
        await asyncio.to_thread(upload, self.stack, [delivery])

    async def write(self, delivery: Delivery, name: str, data: bytes) -> int:
        """Write one object of a drop, over another if there is one; its generation."""
        full = delivery.drop.prefix + name
        written = await self.storage.write(full, data, content_type="text/csv", overwrite=True)
        return written.generation

    async def delete(self, delivery: Delivery, name: str) -> None:
        """Delete one object of a drop."""
        bucket = Client(project=self.stack.project).bucket(self.stack.bucket)
        await asyncio.to_thread(bucket.blob(delivery.drop.prefix + name).delete)

    async def follow(self, delivery: Delivery, generation: int) -> Outcome:
        """The outcome once a generation of the manifest is decided and its load at its end."""
        await self.wait_until(
            "SELECT verdict NOT IN ('noticed', 'pending') FROM arrival "
            "WHERE object = %(object)s AND generation = %(generation)s",
            object=delivery.manifest_name,
            generation=generation,
        )
        found = await followed(self.database, {"it": delivery}, patience_seconds=PATIENCE_SECONDS)
        return found["it"]

    @asynccontextmanager
    async def held_at(self, table: str) -> AsyncIterator[None]:
        """Nobody can touch a table: who comes to it waits there."""
        async with connect(self.stack.mysql_url, program_name="in the way") as blocker:
            await blocker.execute(f"LOCK TABLES {table} WRITE")
            yield

    async def wait_until_held(self, statement: str) -> None:
        """Some connection waits in that statement."""
        await self.wait_until(
            "SELECT COUNT(*) FROM performance_schema.processlist "
            "WHERE STATE = 'Waiting for table metadata lock' AND INFO LIKE %(statement)s",
            statement=f"%/* {statement} */%",
        )

    async def wait_until(self, question: str, **values: object) -> None:
        """A question to the database has an answer that is neither NULL nor 0."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                if await self.database.fetch_value(question, values):
                    return
                await asyncio.sleep(0.02)


def a_drop(partner: str | None = None, **facts: Any) -> Delivery:
    """A drop of its own, and of a partner of its own if none is named."""
    name = uuid.uuid4().hex[:10]
    drop = Drop(load_id=f"load-{name}", partner=partner or f"partner-{name}", **facts)
    return Delivery(drop, described(drop))


def broken(delivery: Delivery) -> Delivery:
    """The same drop with one byte of one file changed behind its manifest's back."""
    files = delivery.drop.files
    files["customers.csv"] = files["customers.csv"].replace(b"Ada", b"Bda")
    return delivery


def assert_failed(outcome: Outcome, code: str) -> dict[str, Any]:
    """The failure of a load that wrote nothing and was told of once."""
    assert outcome.load is not None
    assert (outcome.load["state"], outcome.failure["code"]) == ("failed", code)
    assert outcome.failure["remedy"]
    assert_told_once(outcome.notices, "failed")
    return outcome.failure


def assert_reported(outcome: Outcome, run: int = 1) -> None:
    assert outcome.load is not None
    assert (outcome.load["state"], outcome.load["run"]) == ("reported", run)
    assert outcome.told["reconciled"] is True


def assert_unchanged(before: Outcome, after: Outcome) -> None:
    """The load's row, its notices and what it wrote stand as they were."""
    assert (after.load, after.notices, after.standing) == (
        before.load,
        before.notices,
        before.standing,
    )
