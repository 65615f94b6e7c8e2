"""Work that several connections share."""

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Sequence,
)
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from shared.mysql.connect import Database

T = TypeVar("T")


async def side_by_side(
    databases: Sequence[Database], pieces: Iterable[Callable[[Database], Awaitable[T]]]
) -> list[T]:
    """Do each piece on the first connection that is free, and return what came of them, in order.

    Whatever a piece raises ends the others, and their connections are of no more use.
    """
    waiting = enumerate(pieces)
    done: dict[int, T] = {}

    async def work_off(database: Database) -> None:
        for number, piece in waiting:
            done[number] = await piece(database)

    await all_of(work_off(database) for database in databases)
    return [done[number] for number in sorted(done)]


async def all_of(pieces: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What comes of all pieces, in order; whatever one raises ends the others."""
    tasks = [asyncio.create_task(piece) for piece in pieces]
    async with ending(tasks):
        return await asyncio.gather(*tasks)


@asynccontextmanager
async def ending(tasks: Collection[asyncio.Task[Any]]) -> AsyncIterator[None]:
    """See that none of the tasks goes on after the body, however it ends."""
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
