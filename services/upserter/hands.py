"""The connections of one upsert: one writes in its transaction, two help it beside that."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from shared.mysql.connect import CONNECT_TIMEOUT_SECONDS, SILENCE_SECONDS, Database
from shared.mysql.queries import load_queries

T = TypeVar("T")

_SQL: Final = load_queries("services.upserter", "gate.sql")

# MySQL gives a statement one processor: a load takes two, however many connections it has.
STATEMENTS_AT_ONCE: Final = 2
SIGN_OF_LIFE_SECONDS: Final = SILENCE_SECONDS / 4


class Hands:
    """Who does what of an upsert, never more than STATEMENTS_AT_ONCE.

    Helpers are in autocommit. A writer that has something to do goes before all help that has not
    begun. While it waits it gives signs of life, for the server drops a silent connection, and with
    it what was written.
    """

    def __init__(self, writer: Database, helpers: Sequence[Database]) -> None:
        self._writer = writer
        self._idle = list(helpers)
        self._connection = asyncio.Semaphore(len(helpers))
        self._turn = asyncio.Semaphore(STATEMENTS_AT_ONCE)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Database]:
        """The connection with the open transaction, once it is its turn."""
        await self.outlast(self._turn.acquire())
        try:
            yield self._writer
        finally:
            self._turn.release()

    async def help(self, work: Callable[[Database], Awaitable[T]]) -> T:
        """Do the work on the first helper that is free, once it is its turn."""
        async with self._connection:
            database = self._idle.pop()
            try:
                async with self._turn:
                    return await work(database)
            finally:
                self._idle.append(database)

    async def outlast(self, work: Awaitable[T]) -> T:
        """What comes of others' work, which the writer waits for."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=SIGN_OF_LIFE_SECONDS))[0]:
                await self.see_that_it_stands()
            return task.result()
        finally:
            task.cancel()

    async def see_that_it_stands(self) -> None:
        """A sign of life of the writer: its transaction is open, and all that it wrote is there.

        Raises:
            pymysql.err.Error: the server dropped the connection, and has undone the transaction.
            TimeoutError: it does not answer.
        """
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            await self._writer.execute(_SQL["sign_of_life"])
