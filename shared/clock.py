"""The wall clock, for what is compared with times that people write; leases use the database's."""

from datetime import UTC, datetime


def now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)
