"""What every bus promises: in one process, and on Google's emulator by pull and by push."""

import pytest

from shared.bus.port import Answer, Message
from shared.bus.pubsub import PubSubBus
from shared.errors import TransientFault
from tests.conformance.wiring import PROJECT, Wiring


class Recorder:
    """A handler that keeps what it got, and answers as told, then DONE."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.got: list[Message] = []
        self._answers = list(answers)

    async def __call__(self, message: Message) -> Answer:
        self.got.append(message)
        answer = self._answers.pop(0) if self._answers else Answer.DONE
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_every_subscription_gets_the_message_as_it_was_published(wiring: Wiring) -> None:
    topic, one, other = wiring.create_topic(), Recorder(), Recorder()
    await wiring.subscribe(topic, one)
    await wiring.subscribe(topic, other)
    data, attributes = bytes(range(256)), {"event": "staged", "source_system": "münchen"}
    message_id = await wiring.bus.publish(topic, data, attributes)
    await wiring.until(lambda: bool(one.got and other.got))
    for message in (one.got[0], other.got[0]):
        assert (message.data, dict(message.attributes)) == (data, attributes)
        assert message.message_id == message_id
        assert message.published_at.tzinfo is not None
    assert one.got[0].subscription != other.got[0].subscription
    assert one.got[0].delivery_key != other.got[0].delivery_key


@pytest.mark.parametrize("answer", [Answer.RETRY, Answer.REFUSED, RuntimeError("a bug")], ids=str)
async def test_what_was_not_taken_comes_again_as_the_same_delivery(
    wiring: Wiring, answer: Answer | Exception
) -> None:
    topic, handler = wiring.create_topic(), Recorder(answer, answer)
    await wiring.subscribe(topic, handler)
    await wiring.bus.publish(topic, b"once", {"event": "staged"})
    await wiring.until(lambda: len(handler.got) == 3)
    assert [message.data for message in handler.got] == [b"once"] * 3
    assert len({message.delivery_key for message in handler.got}) == 1


async def test_what_was_taken_does_not_come_again(wiring: Wiring) -> None:
    topic, handler = wiring.create_topic(), Recorder(Answer.DONE, Answer.RETRY)
    await wiring.subscribe(topic, handler)
    await wiring.bus.publish(topic, b"first", {})
    await wiring.until(lambda: len(handler.got) == 1)
    await wiring.bus.publish(topic, b"second", {})
    await wiring.until(lambda: len(handler.got) == 3)
    assert [message.data for message in handler.got] == [b"first", b"second", b"second"]


async def test_two_publications_of_the_same_bytes_are_two_deliveries(wiring: Wiring) -> None:
    topic, handler = wiring.create_topic(), Recorder()
    await wiring.subscribe(topic, handler)
    ids = {await wiring.bus.publish(topic, b"same", {}) for _ in range(2)}
    await wiring.until(lambda: len(handler.got) == 2)
    assert len(ids) == 2
    assert len({message.delivery_key for message in handler.got}) == 2


async def test_a_handler_may_publish_to_the_next_topic(wiring: Wiring) -> None:
    first, second, last = wiring.create_topic(), wiring.create_topic(), Recorder()

    async def pass_on(message: Message) -> Answer:
        await wiring.bus.publish(second, message.data + b" staged", message.attributes)
        return Answer.DONE

    await wiring.subscribe(first, pass_on)
    await wiring.subscribe(second, last)
    await wiring.bus.publish(first, b"load", {"run": "1"})
    await wiring.until(lambda: bool(last.got))
    assert (last.got[0].data, dict(last.got[0].attributes)) == (b"load staged", {"run": "1"})


@pytest.mark.usefixtures("pubsub")
async def test_a_topic_that_does_not_exist_is_a_transient_fault_that_says_what_to_do() -> None:
    bus = PubSubBus(PROJECT)
    with pytest.raises(TransientFault, match=r"topics/absent does not exist: create it"):
        await bus.publish("absent", b"x", {})
    await bus.close()


async def test_an_emulator_that_is_not_there_is_a_transient_fault_within_the_time_limit(
    monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{unused_tcp_port}")
    monkeypatch.setattr("shared.bus.pubsub.PUBLISH_SECONDS", 0.5)
    bus = PubSubBus(PROJECT)
    with pytest.raises(TransientFault, match="topics/staged"):
        await bus.publish("staged", b"x", {})
    await bus.close()
