"""What the fetching worker adds to the promises of every bus: leases, and a loss-free stop."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from google.api_core.exceptions import DeadlineExceeded
from google.cloud.pubsub_v1 import SubscriberClient

from shared.bus.port import Answer, Message
from shared.bus.pubsub import PubSubBus
from shared.bus.pull import pull
from shared.errors import TransientFault
from tests.conformance.wiring import PROJECT, create_subscription, create_topic

SHORTEST_ACK_DEADLINE_SECONDS = 10


class Workplace:
    """A handler that stays at each message until it is let go on."""

    def __init__(self) -> None:
        self.began: asyncio.Queue[bytes] = asyncio.Queue()
        self.go_on = asyncio.Semaphore(0)
        self.at_once = 0
        self.most_at_once = 0

    async def __call__(self, message: Message) -> Answer:
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        self.began.put_nowait(message.data)
        try:
            await self.go_on.acquire()
        finally:
            self.at_once -= 1
        return Answer.DONE


@pytest.fixture
async def bus(pubsub: None) -> AsyncIterator[PubSubBus]:
    bus = PubSubBus(PROJECT)
    yield bus
    await bus.close()


def start(subscription: str, workplace: Workplace, stop: asyncio.Event) -> asyncio.Task[None]:
    return asyncio.create_task(
        pull(PROJECT, subscription, workplace, stop=stop, max_lease_seconds=600)
    )


async def fetch_one(subscription: str, *, within_seconds: float) -> bytes | None:
    """What another worker would get."""
    path = f"projects/{PROJECT}/subscriptions/{subscription}"
    give_up = time.monotonic() + within_seconds

    def fetch() -> list[bytes]:
        with SubscriberClient() as subscriber, suppress(DeadlineExceeded):
            answer = subscriber.pull(
                subscription=path, max_messages=1, retry=None, timeout=give_up - time.monotonic()
            )
            return [received.message.data for received in answer.received_messages]
        return []

    while time.monotonic() < give_up:
        for data in await asyncio.to_thread(fetch):
            return data
    return None


async def test_one_message_is_handled_at_a_time(bus: PubSubBus) -> None:
    topic, workplace, stop = create_topic(), Workplace(), asyncio.Event()
    subscription = create_subscription(topic)
    for number in range(5):
        await bus.publish(topic, b"%d" % number, {})
    worker = start(subscription, workplace, stop)
    handled = set()
    for _ in range(5):
        handled.add(await workplace.began.get())
        workplace.go_on.release()
    stop.set()
    await worker
    assert handled == {b"0", b"1", b"2", b"3", b"4"}
    assert workplace.most_at_once == 1


async def test_a_stop_lets_the_message_in_hand_finish_and_takes_no_other(bus: PubSubBus) -> None:
    topic, workplace, stop = create_topic(), Workplace(), asyncio.Event()
    worker = start(create_subscription(topic), workplace, stop)
    await bus.publish(topic, b"first", {})
    assert await workplace.began.get() == b"first"
    await bus.publish(topic, b"second", {})
    stop.set()
    done, _ = await asyncio.wait([worker], timeout=0.2)
    assert not done
    workplace.go_on.release()
    workplace.go_on.release()
    await worker
    assert workplace.began.empty()


async def test_a_worker_that_is_cancelled_breaks_off_and_leaves_the_message_to_others(
    bus: PubSubBus,
) -> None:
    topic, workplace = create_topic(), Workplace()
    subscription = create_subscription(topic)
    await bus.publish(topic, b"load", {})
    worker = start(subscription, workplace, asyncio.Event())
    await workplace.began.get()
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker
    assert workplace.at_once == 0
    # The subscription's ack deadline is 600 s.
    assert await fetch_one(subscription, within_seconds=5) == b"load"


async def test_neither_long_work_nor_work_ended_by_a_stop_is_given_to_others(
    bus: PubSubBus,
) -> None:
    topic, stop_long, stop_ended = create_topic(), asyncio.Event(), asyncio.Event()
    long, ended = Workplace(), Workplace()
    subscriptions = [
        create_subscription(topic, ack_deadline_seconds=SHORTEST_ACK_DEADLINE_SECONDS)
        for _ in range(2)
    ]
    await bus.publish(topic, b"load", {})
    long_worker = start(subscriptions[0], long, stop_long)
    ended_worker = start(subscriptions[1], ended, stop_ended)
    assert await long.began.get() == await ended.began.get() == b"load"
    stop_ended.set()
    ended.go_on.release()
    await ended_worker
    fetches = (
        fetch_one(subscription, within_seconds=SHORTEST_ACK_DEADLINE_SECONDS + 3)
        for subscription in subscriptions
    )
    assert await asyncio.gather(*fetches) == [None, None]
    long.go_on.release()
    stop_long.set()
    await long_worker


@pytest.mark.usefixtures("pubsub")
async def test_a_subscription_that_does_not_exist_ends_the_worker_with_its_name() -> None:
    with pytest.raises(TransientFault, match="subscriptions/absent: pulling ended"):
        await start("absent", Workplace(), asyncio.Event())
