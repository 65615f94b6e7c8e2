"""The bus of one process: order, dead letters, and a drain that is broken off."""

import asyncio

import pytest

from shared.bus.memory import MemoryBus
from shared.bus.port import Answer, Message


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(max_attempts=3, backoff_seconds=0.01)


@pytest.mark.parametrize("answer", [Answer.RETRY, Answer.REFUSED])
async def test_a_message_that_nobody_takes_is_a_dead_letter_after_the_last_attempt(
    bus: MemoryBus, answer: Answer
) -> None:
    async def never(_: Message) -> Answer:
        return answer

    bus.subscribe("staged", "upserter.staged", never)
    message_id = await bus.publish("staged", b"load", {"run": "1"})
    await bus.drain()
    (letter,) = bus.dead_letters
    assert (letter.topic, letter.attempts) == ("staged", 3)
    assert letter.reason == f"the handler answered {answer.value}"
    assert (letter.message.message_id, letter.message.data) == (message_id, b"load")
    assert letter.message.subscription == "upserter.staged"


async def test_the_reason_of_a_dead_letter_names_the_exception_but_not_its_text(
    bus: MemoryBus,
) -> None:
    async def broken(_: Message) -> Answer:
        raise ValueError("Duplicate entry 'Jane Doe'")

    bus.subscribe("staged", "upserter.staged", broken)
    await bus.publish("staged", b"load", {})
    await bus.drain()
    assert [letter.reason for letter in bus.dead_letters] == ["the handler raised ValueError"]


async def test_a_message_in_backoff_lets_later_ones_pass(bus: MemoryBus) -> None:
    got: list[bytes] = []

    async def handler(message: Message) -> Answer:
        got.append(message.data)
        return Answer.RETRY if got == [b"first"] else Answer.DONE

    bus.subscribe("staged", "upserter.staged", handler)
    await bus.publish("staged", b"first", {})
    await bus.publish("staged", b"second", {})
    await bus.drain()
    assert got == [b"first", b"second", b"first"]


async def test_a_subscription_gets_one_message_at_a_time_and_others_run_beside_it(
    bus: MemoryBus,
) -> None:
    together = asyncio.Barrier(2)
    at_once = dict.fromkeys(("stager", "upserter"), 0)
    seen: list[int] = []

    async def handler(message: Message) -> Answer:
        at_once[message.subscription] += 1
        seen.append(at_once[message.subscription])
        await together.wait()  # goes on only once the other subscription's handler runs too
        at_once[message.subscription] -= 1
        return Answer.DONE

    for subscription in at_once:
        bus.subscribe("staged", subscription, handler)
    for _ in range(3):
        await bus.publish("staged", b"load", {})
    async with asyncio.timeout(5):
        await bus.drain()
    assert seen == [1] * 6


async def test_the_pause_before_a_redelivery_doubles(bus: MemoryBus) -> None:
    times: list[float] = []

    async def never(_: Message) -> Answer:
        times.append(asyncio.get_running_loop().time())
        return Answer.RETRY

    bus.subscribe("staged", "upserter.staged", never)
    await bus.publish("staged", b"load", {})
    await bus.drain()
    assert times[1] - times[0] >= 0.01
    assert times[2] - times[1] >= 0.02


async def test_a_message_that_comes_from_outside_during_a_drain_is_delivered(
    bus: MemoryBus,
) -> None:
    got: list[bytes] = []
    began, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: Message) -> Answer:
        began.set()
        await go_on.wait()
        return Answer.DONE

    async def handler(message: Message) -> Answer:
        got.append(message.data)
        go_on.set()
        return Answer.DONE

    bus.subscribe("staged", "upserter.staged", slow)
    bus.subscribe("failed", "reporter.failed", handler)
    await bus.publish("staged", b"load", {})
    drain = asyncio.create_task(bus.drain())
    await began.wait()
    await bus.publish("failed", b"other", {})
    async with asyncio.timeout(5):
        await drain
    assert got == [b"other"]


async def test_a_drain_that_is_cancelled_keeps_what_it_was_delivering(bus: MemoryBus) -> None:
    began, got = asyncio.Event(), list[Message]()

    async def handler(message: Message) -> Answer:
        got.append(message)
        if len(got) == 1:
            began.set()
            await asyncio.Event().wait()
        return Answer.DONE

    bus.subscribe("staged", "upserter.staged", handler)
    await bus.publish("staged", b"load", {})
    drain = asyncio.create_task(bus.drain())
    await began.wait()
    drain.cancel()
    with pytest.raises(asyncio.CancelledError):
        await drain
    await bus.drain()
    assert len(got) == 2
    assert got[0] == got[1]


async def test_a_topic_that_nobody_subscribes_to_takes_messages(bus: MemoryBus) -> None:
    assert await bus.publish("reported", b"load", {})
    await bus.drain()
    assert bus.dead_letters == []
