"""Topics, and the one message body that travels on all of them.

Source of the names: docs/events.md, which other systems subscribe by.
"""

from enum import StrEnum
from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

LONGEST_NAME = 255
LONGEST_REASON = 1_000
HIGHEST_RUN = 2**31 - 1


class Topic(StrEnum):
    """The topics of a load's way, in its order; a topic's name is its event's name."""

    ARRIVED = "manifest.arrived"
    VALIDATED = "manifest.validated"
    STAGED = "staged"
    UPSERTED = "upserted"
    REPORTED = "reported"
    FAILED = "failed"
    DEAD_LETTER = "dead-letter"


TOPICS: tuple[str, ...] = tuple(Topic)

StageName = Literal["validator", "stager", "upserter", "reporter"]

SUBSCRIPTIONS: dict[StageName, tuple[Topic, ...]] = {
    "validator": (Topic.ARRIVED,),
    "stager": (Topic.VALIDATED,),
    "upserter": (Topic.STAGED,),
    "reporter": (Topic.UPSERTED, Topic.FAILED),
}

# Where the reporter takes what the other subscriptions gave up; it gives up nothing itself.
DEAD_LETTER_SUBSCRIPTION = f"reporter.{Topic.DEAD_LETTER}"


class Event(BaseModel):
    """A milestone of one run of a load.

    A body without `event_id` was written by a person: it is a replay of the stage that it reaches.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    event: Topic | None = None
    event_id: str | None = Field(default=None, max_length=LONGEST_NAME)
    load_id: str = Field(max_length=LONGEST_NAME)
    source_system: str | None = Field(default=None, max_length=LONGEST_NAME)
    run: int | None = Field(default=None, ge=1, le=HIGHEST_RUN)
    occurred_at: AwareDatetime | None = None
    reason: str | None = Field(default=None, max_length=LONGEST_REASON)

    def attributes(self) -> dict[str, str]:
        """The same facts as message attributes, for filters and consoles."""
        fields = ("event", "event_id", "load_id", "source_system", "run")
        values = {name: getattr(self, name) for name in fields}
        return {name: str(value) for name, value in values.items() if value is not None}

    def body(self) -> bytes:
        """The message's data."""
        return self.model_dump_json(exclude_none=True).encode()

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a message's data.

        Raises:
            ValueError: it is no JSON object of this shape.
        """
        return cls.model_validate_json(data)
