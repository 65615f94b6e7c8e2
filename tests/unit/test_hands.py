"""Who does what of an upsert: two statements at a time, over three connections."""

import asyncio
from functools import partial
from typing import cast

import pytest

from services.upserter import hands as module
from services.upserter.hands import Hands
from shared.mysql.connect import Database
from shared.mysql.queries import load_queries

SIGN_OF_LIFE = load_queries("services.upserter", "gate.sql")["sign_of_life"]


class Recorded:
    """Stands for a connection: what was asked of it, in order."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[str] = []
        self.was_asked_thrice = asyncio.Event()

    async def execute(self, sql: str) -> int:
        """Note what was asked."""
        self.asked.append(sql)
        if len(self.asked) == 3:
            self.was_asked_thrice.set()
        return 0


def hands_of(writer: Recorded) -> Hands:
    helpers = (Recorded("second"), Recorded("third"))
    return Hands(cast("Database", writer), cast("tuple[Database, Database]", helpers))


async def test_two_help_at_once_and_each_has_a_connection_of_its_own() -> None:
    hands = hands_of(Recorded("writer"))
    both_begun = asyncio.Barrier(2)

    async def meet(helper: Database) -> str:
        await both_begun.wait()
        return cast("Recorded", helper).name

    async with asyncio.timeout(10):
        assert set(await asyncio.gather(hands.help(meet), hands.help(meet))) == {"second", "third"}


async def test_a_writer_goes_before_all_help_that_has_not_begun() -> None:
    hands = hands_of(Recorded("writer"))
    order: list[str] = []
    first_end, others_end = asyncio.Event(), asyncio.Event()

    async def piece(end: asyncio.Event, _helper: Database) -> None:
        order.append("help")
        await end.wait()

    async def write() -> None:
        async with hands.writing():
            order.append("write")

    ends = (first_end, others_end, others_end, others_end)
    helping = [asyncio.create_task(hands.help(partial(piece, end))) for end in ends]
    await asyncio.sleep(0)
    writing = asyncio.create_task(write())
    await asyncio.sleep(0)
    assert order == ["help", "help"]
    first_end.set()
    await writing
    assert order[:3] == ["help", "help", "write"]
    others_end.set()
    await asyncio.gather(*helping)
    assert order == ["help", "help", "write", "help", "help"]


async def test_while_one_writes_only_one_helps() -> None:
    hands = hands_of(Recorded("writer"))
    begun: list[str] = []
    go_on = asyncio.Event()

    async def piece(helper: Database) -> None:
        begun.append(cast("Recorded", helper).name)
        await go_on.wait()

    async with hands.writing():
        helping = [asyncio.create_task(hands.help(piece)) for _ in range(2)]
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(begun) == 1
    go_on.set()
    await asyncio.gather(*helping)
    assert len(begun) == 2


async def test_a_connection_is_free_again_after_a_fault() -> None:
    hands = hands_of(Recorded("writer"))

    async def fail(_helper: Database) -> None:
        raise ConnectionError

    async def succeed(_helper: Database) -> bool:
        return True

    for _ in range(3):
        with pytest.raises(ConnectionError):
            await hands.help(fail)
    assert all(await asyncio.gather(hands.help(succeed), hands.help(succeed)))


@pytest.fixture
def signs_come_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SIGN_OF_LIFE_SECONDS", 0.001)


@pytest.mark.usefixtures("signs_come_soon")
async def test_a_writer_that_waits_for_its_helpers_gives_signs_of_life() -> None:
    writer = Recorded("writer")
    hands = hands_of(writer)

    async def long_help() -> str:
        await writer.was_asked_thrice.wait()
        return "done"

    async with asyncio.timeout(10):
        assert await hands.outlast(asyncio.create_task(long_help())) == "done"
    assert set(writer.asked) == {SIGN_OF_LIFE}


@pytest.mark.usefixtures("signs_come_soon")
async def test_a_writer_that_waits_for_its_turn_gives_signs_of_life() -> None:
    writer = Recorded("writer")
    hands = hands_of(writer)

    async def long_help(_helper: Database) -> None:
        await writer.was_asked_thrice.wait()

    helping = [asyncio.create_task(hands.help(long_help)) for _ in range(2)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10), hands.writing():
        assert set(writer.asked) == {SIGN_OF_LIFE}
    await asyncio.gather(*helping)
