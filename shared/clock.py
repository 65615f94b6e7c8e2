"""The clock of one machine by itself; what services decide together goes by the database's."""

from datetime import UTC, datetime


def now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)
