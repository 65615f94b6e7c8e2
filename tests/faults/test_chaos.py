"""The faults themselves: they must strike, and strike the same way for the same seed."""

from shared.bus.memory import MemoryBus
from shared.bus.port import Answer, Handler, Message
from tests.faults.chaos import duplicating, failing_randomly


async def deliveries(wrap: Handler, bus: MemoryBus, *, messages: int) -> None:
    bus.subscribe("staged", "upserter.staged", wrap)
    for number in range(messages):
        await bus.publish("staged", b"%d" % number, {})
    await bus.drain()


async def test_a_duplicating_handler_sees_every_message_twice_in_a_row() -> None:
    seen: list[bytes] = []

    async def handler(message: Message) -> Answer:
        seen.append(message.data)
        return Answer.DONE

    await deliveries(duplicating(handler), MemoryBus(), messages=2)
    assert seen == [b"0", b"0", b"1", b"1"]


async def test_a_duplicate_that_is_not_taken_brings_the_message_back() -> None:
    answers = [Answer.DONE, Answer.RETRY, Answer.RETRY, Answer.DONE, Answer.DONE, Answer.DONE]

    async def handler(_: Message) -> Answer:
        return answers.pop(0)

    await deliveries(duplicating(handler), MemoryBus(backoff_seconds=0), messages=1)
    assert answers == []


async def test_random_failures_come_before_and_after_the_work_and_repeat_with_the_seed() -> None:
    async def handled(seed: int) -> tuple[list[bytes], MemoryBus]:
        seen: list[bytes] = []

        async def handler(message: Message) -> Answer:
            seen.append(message.data)
            return Answer.DONE

        bus = MemoryBus(max_attempts=20, backoff_seconds=0)
        await deliveries(failing_randomly(handler, seed), bus, messages=40)
        return seen, bus

    first, bus = await handled(7)
    again, _ = await handled(7)
    other, _ = await handled(8)
    assert first == again
    assert first != other
    assert set(first) == {b"%d" % number for number in range(40)}
    assert len(first) > 40  # some were done, and their answer lost
    assert bus.dead_letters == []
