"""Work that several connections share."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

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

    workers = [asyncio.create_task(work_off(database)) for database in databases]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return [done[number] for number in sorted(done)]
