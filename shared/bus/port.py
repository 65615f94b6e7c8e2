"""What the project needs of a message bus."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery. `message_id` alone does not identify it: an emulator's ids start again at 1."""

    data: bytes
    attributes: Mapping[str, str]
    subscription: str
    message_id: str
    published_at: datetime

    @property
    def delivery_key(self) -> str:
        """The same for every redelivery of one published message, and for nothing else."""
        return f"{self.subscription}/{self.message_id}/{self.published_at.isoformat()}"


class Answer(Enum):
    """What a handler tells the bus."""

    DONE = "done"
    RETRY = "retry"
    REFUSED = "refused"


Handler = Callable[[Message], Awaitable[Answer]]


class Bus(Protocol):
    """At-least-once delivery by topic, in no promised order."""

    async def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        """Hand a message to the bus for good and return its id.

        Raises:
            TransientFault: the bus did not take it.
        """
        ...

    async def close(self) -> None:
        """Give back connections and threads."""
        ...


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that no handler took, with the last reason."""

    message: Message
    topic: str
    reason: str
    attempts: int = field(default=0)
