"""Buses under test with something at the other end: a handler that gets what is published."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol
from uuid import uuid4

import uvicorn
from fastapi import FastAPI
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

from shared.bus.memory import MemoryBus
from shared.bus.port import Answer, Bus, Handler, Message
from shared.bus.pubsub import PubSubBus
from shared.bus.pull import pull
from shared.push import create_push_router

PROJECT = "crossdock-test"
LONGEST_WAIT_SECONDS = 30.0


class Wiring(Protocol):
    """One bus, and how a test listens to it."""

    @property
    def bus(self) -> Bus:
        """What the test publishes to."""
        ...

    def create_topic(self) -> str:
        """A topic that nobody else uses."""
        ...

    async def subscribe(self, topic: str, handler: Handler) -> None:
        """Let the handler have what is published on the topic from now on."""
        ...

    async def until(self, reached: Callable[[], bool]) -> None:
        """Deliver until the condition holds.

        Raises:
            TimeoutError: it does not come to hold.
        """
        ...


class MemoryWiring:
    """The bus of one process."""

    def __init__(self) -> None:
        self.bus = MemoryBus()

    def create_topic(self) -> str:
        return f"topic-{uuid4().hex}"

    async def subscribe(self, topic: str, handler: Handler) -> None:
        self.bus.subscribe(topic, f"{topic}.{uuid4().hex}", handler)

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(LONGEST_WAIT_SECONDS):
            await self.bus.drain()
        if not reached():
            raise TimeoutError


class PubSubWiring:
    """Google's emulator, its messages fetched by `pull` or pushed to a real HTTP server."""

    def __init__(self, background: AsyncExitStack, *, pushed: bool) -> None:
        self.bus = PubSubBus(PROJECT)
        self._background = background
        self._pushed = pushed
        self._answered = asyncio.Condition()

    def create_topic(self) -> str:
        return create_topic()

    async def subscribe(self, topic: str, handler: Handler) -> None:
        delivered = serving_pushes if self._pushed else pulling
        await self._background.enter_async_context(delivered(topic, self._noting(handler)))

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(LONGEST_WAIT_SECONDS), self._answered:
            await self._answered.wait_for(reached)

    def _noting(self, handler: Handler) -> Handler:
        async def noting(message: Message) -> Answer:
            try:
                return await handler(message)
            finally:
                async with self._answered:
                    self._answered.notify_all()

        return noting


def create_topic() -> str:
    topic = f"topic-{uuid4().hex}"
    with PublisherClient() as publisher:
        publisher.create_topic(name=f"projects/{PROJECT}/topics/{topic}")
    return topic


def create_subscription(topic: str, *, ack_deadline_seconds: int = 600, push_to: str = "") -> str:
    name = f"subscription-{uuid4().hex}"
    request = {
        "name": f"projects/{PROJECT}/subscriptions/{name}",
        "topic": f"projects/{PROJECT}/topics/{topic}",
        "ack_deadline_seconds": ack_deadline_seconds,
        "push_config": {"push_endpoint": push_to},
        "retry_policy": {"minimum_backoff": {"seconds": 1}},
    }
    with SubscriberClient() as subscriber:
        subscriber.create_subscription(request=request)
    return name


@asynccontextmanager
async def pulling(topic: str, handler: Handler) -> AsyncIterator[None]:
    stop = asyncio.Event()
    worker = asyncio.create_task(
        pull(PROJECT, create_subscription(topic), handler, stop=stop, max_lease_seconds=600)
    )
    try:
        yield
    finally:
        stop.set()
        await worker


@asynccontextmanager
async def serving_pushes(topic: str, handler: Handler) -> AsyncIterator[None]:
    app = FastAPI()
    app.include_router(create_push_router(handler, None))
    listener = socket.create_server(("127.0.0.1", 0))
    create_subscription(topic, push_to=f"http://127.0.0.1:{listener.getsockname()[1]}/pubsub/push")
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving
