"""A worker that fetches its messages: for work longer than the 600 s that a push may take."""

import asyncio
from concurrent import futures

import structlog
from google.cloud.pubsub_v1 import SubscriberClient
from google.cloud.pubsub_v1.subscriber.futures import StreamingPullFuture
from google.cloud.pubsub_v1.subscriber.message import Message as Received
from google.cloud.pubsub_v1.subscriber.scheduler import ThreadScheduler
from google.cloud.pubsub_v1.types import FlowControl

from shared.bus.port import Answer, Handler, Message
from shared.errors import TransientFault

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def pull(
    project: str,
    subscription: str,
    handler: Handler,
    *,
    stop: asyncio.Event,
    max_lease_seconds: float,
) -> None:
    """Give each message of the subscription to the handler, one at a time, until `stop` is set.

    While the handler works the message stays leased, for at most `max_lease_seconds`; after that
    another worker may get it too. A message that the handler did not take goes back at once. Once
    `stop` is set no more messages come, and the one in hand is finished. Cancelling breaks that one
    off too and gives it back.

    Raises:
        TransientFault: the subscription does not exist or may not be pulled from. An outage is no
            such end: the stream is opened again for as long as it takes.
    """
    path = f"projects/{project}/subscriptions/{subscription}"
    desk = _Desk(path, handler)
    with SubscriberClient() as subscriber:
        stream = subscriber.subscribe(
            path,
            callback=desk.take,
            flow_control=FlowControl(max_messages=1, max_lease_duration=max_lease_seconds),
            scheduler=ThreadScheduler(futures.ThreadPoolExecutor(max_workers=1)),
            await_callbacks_on_shutdown=True,
        )
        try:
            await _first_of(stop, stream)
            await _close(stream)
        except asyncio.CancelledError:
            desk.abandon()
            await _close(stream)
            raise
        if (fault := stream.exception()) is not None:
            raise TransientFault(f"{path}: pulling ended: {fault}") from fault


class _Desk:
    """Where a thread of Google's client meets the event loop that the handler runs in."""

    def __init__(self, path: str, handler: Handler) -> None:
        self._path = path
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        self._in_hand: asyncio.Task[Answer] | None = None
        self._abandoned = False

    def take(self, received: Received) -> None:
        """Handle one message and answer for it; called in the client's thread."""
        message = Message(
            data=received.data,
            attributes=dict(received.attributes),
            subscription=self._path,
            message_id=received.message_id,
            published_at=received.publish_time,
        )
        try:
            answer = asyncio.run_coroutine_threadsafe(self._handle(message), self._loop).result()
        except futures.CancelledError:
            answer = Answer.RETRY
        if answer is Answer.DONE:
            received.ack()
        else:
            received.nack()

    def abandon(self) -> None:
        """Break off what is in hand, and take nothing more; called in the event loop."""
        self._abandoned = True
        if self._in_hand is not None:
            self._in_hand.cancel()

    async def _handle(self, message: Message) -> Answer:
        if self._abandoned:
            return Answer.RETRY
        self._in_hand = asyncio.current_task()
        try:
            return await self._handler(message)
        except Exception:  # noqa: BLE001 - whatever it raised, the message comes again
            _log.exception(
                "pull.handler_raised", subscription=self._path, message_id=message.message_id
            )
            return Answer.RETRY


async def _first_of(stop: asyncio.Event, stream: StreamingPullFuture) -> None:
    """Wait until a stop is asked for, or the stream has ended by itself."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    stream.add_done_callback(lambda _: loop.call_soon_threadsafe(ended.set))
    waits = [asyncio.create_task(event.wait()) for event in (stop, ended)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def _close(stream: StreamingPullFuture) -> None:
    """Take no more messages, then wait until the one in hand is answered for."""
    stream.cancel()
    await asyncio.to_thread(futures.wait, [stream])
