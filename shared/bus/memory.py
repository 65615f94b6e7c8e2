"""A bus inside one process: every stage in one program, with the promises of the real one."""

import asyncio
import heapq
import itertools
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

import structlog

from shared.bus.port import Answer, DeadLetter, Handler, Message
from shared.telemetry import tracing

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(order=True, slots=True)
class _Delivery:
    """One message on its way to one subscription; `due` is a time of the event loop."""

    due: float
    sequence: int
    message: Message = field(compare=False)
    attempts: int = field(compare=False, default=0)


@dataclass(eq=False, slots=True)
class _Subscription:
    """What waits for one handler: a heap, soonest due first."""

    topic: str
    name: str
    handler: Handler
    waiting: list[_Delivery] = field(default_factory=list)


class MemoryBus:
    """At-least-once delivery to handlers of this process, while `drain` runs.

    A message that is not taken comes again after `backoff_seconds`, then after twice that, and so
    on; after `max_attempts` deliveries it is a dead letter.
    """

    def __init__(self, *, max_attempts: int = 5, backoff_seconds: float = 0.05) -> None:
        self.dead_letters: list[DeadLetter] = []
        self._max_attempts = max_attempts
        self._backoff_seconds = backoff_seconds
        self._subscriptions: list[_Subscription] = []
        self._sequence = itertools.count()
        self._draining = asyncio.Lock()
        self._changed = asyncio.Event()

    def subscribe(self, topic: str, subscription_name: str, handler: Handler) -> None:
        """Give the handler every message that is published on the topic from now on."""
        self._subscriptions.append(_Subscription(topic, subscription_name, handler))

    async def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        """Queue a message for each subscription of the topic and return its id."""
        message_id, now = uuid4().hex, datetime.now(UTC)
        with tracing.publishing(topic, attributes) as traced:
            for subscription in self._subscriptions:
                if subscription.topic == topic:
                    message = Message(data, traced, subscription.name, message_id, now)
                    delivery = _Delivery(_loop_time(), next(self._sequence), message)
                    heapq.heappush(subscription.waiting, delivery)
        self._changed.set()
        return message_id

    async def drain(self) -> None:
        """Deliver until nothing is queued, what handlers publish meanwhile included.

        A subscription gets one message at a time, soonest due first; different ones run side by
        side. A drain that is cancelled puts back what it was delivering.
        """
        busy: set[_Subscription] = set()
        async with self._draining, asyncio.TaskGroup() as deliveries:
            while busy or any(subscription.waiting for subscription in self._subscriptions):
                self._changed.clear()
                next_due = None
                for subscription in self._subscriptions:
                    if subscription in busy or not subscription.waiting:
                        continue
                    if (due := subscription.waiting[0].due) <= _loop_time():
                        busy.add(subscription)
                        deliveries.create_task(self._deliver(subscription, busy))
                    else:
                        next_due = due if next_due is None else min(due, next_due)
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(next_due):
                        await self._changed.wait()

    async def close(self) -> None:
        """Nothing to give back."""

    async def _deliver(self, subscription: _Subscription, busy: set[_Subscription]) -> None:
        delivery = heapq.heappop(subscription.waiting)
        try:
            reason = await _reason_not_taken(subscription.handler, delivery.message)
        except asyncio.CancelledError:
            heapq.heappush(subscription.waiting, delivery)
            raise
        finally:
            busy.discard(subscription)
            self._changed.set()
        if reason is not None:
            self._take_back(subscription, delivery, reason)

    def _take_back(self, subscription: _Subscription, delivery: _Delivery, reason: str) -> None:
        delivery.attempts += 1
        if delivery.attempts < self._max_attempts:
            delay_seconds = self._backoff_seconds * 2 ** (delivery.attempts - 1)
            delivery.due = _loop_time() + delay_seconds
            heapq.heappush(subscription.waiting, delivery)
        else:
            self.dead_letters.append(
                DeadLetter(delivery.message, subscription.topic, reason, delivery.attempts)
            )


async def _reason_not_taken(handler: Handler, message: Message) -> str | None:
    try:
        answer = await handler(message)
    except Exception as fault:  # noqa: BLE001 - whatever it raised, it comes again
        _log.exception(
            "bus.handler_raised", subscription=message.subscription, message_id=message.message_id
        )
        return f"the handler raised {type(fault).__name__}"
    return None if answer is Answer.DONE else f"the handler answered {answer.value}"


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
