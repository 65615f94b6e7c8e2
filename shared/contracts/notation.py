"""How the contract writes numbers, dates and timestamps.

The patterns keep to what Python's `re` and MySQL's ICU read alike, so that one text serves both.
They hold no backslash, percent sign or quote, so that SQL text carries them as they are; nothing
that they match holds a comma; and they name the ASCII digits, for a digit class takes those of
every script.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final


def _at_most(limit: int) -> str:
    """Digits, as many as those of `limit`, that name no larger number."""
    digits = str(limit)
    smaller = [
        f"{digits[:place]}[0-{int(digit) - 1}][0-9]{{{len(digits) - place - 1}}}"
        for place, digit in enumerate(digits)
        if digit != "0"
    ]
    return "|".join((digits, *smaller))


INT: Final = "[+-]?[0-9]++"
_UP_TO_18_DIGITS = "[1-9][0-9]{0,17}"
INT_64_BITS: Final = (
    "(?:[+-]?0++"
    f"|[+]?0*+(?:{_UP_TO_18_DIGITS}|{_at_most(2**63 - 1)})"
    f"|-0*+(?:{_UP_TO_18_DIGITS}|{_at_most(2**63)}))"
)
DECIMAL: Final = "[+-]?[0-9]++(?:[.][0-9]++)?"

_DAY_OF_ANY_YEAR = (
    "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8])"
)
_LEAP_YEAR = (
    "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"  # Gregorian
)
DATE: Final = f"(?!0000)(?:[0-9]{{4}}-(?:{_DAY_OF_ANY_YEAR})|{_LEAP_YEAR}-02-29)"

_TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_ZONE = "(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
TIMESTAMP: Final = f"{DATE}[Tt]{_TIME}(?:[.][0-9]++)?{_ZONE}"
# Its UTC day must lie in the years 1 to 9999, whatever the hour.
_UTC_DAY_EXISTS = "(?!0001-01-01.*[+](?!00:00)|9999-12-31.*-(?!00:00))"
TIMESTAMP_IN_MICROSECONDS: Final = f"{_UTC_DAY_EXISTS}{DATE}[Tt]{_TIME}(?:[.][0-9]{{1,6}})?{_ZONE}"

_DECIMAL = re.compile(DECIMAL)
_TIMESTAMP_IN_MICROSECONDS = re.compile(TIMESTAMP_IN_MICROSECONDS)


def parse_decimal(text: str) -> Decimal:
    """The exact value of a number in the contract's notation, of any size.

    Raises:
        ValueError: the text is no such number.
    """
    if not _DECIMAL.fullmatch(text):
        raise ValueError("not an optional sign and digits, with at most one point between digits")
    return Decimal(text)


def parse_timestamp(text: str) -> datetime:
    """The moment of an RFC 3339 timestamp, in UTC.

    Raises:
        ValueError: the text is no such timestamp, is finer than microseconds, or its zone may move
            it out of the years 1 to 9999.
    """
    if not _TIMESTAMP_IN_MICROSECONDS.fullmatch(text):
        raise ValueError("not RFC 3339 with a zone and at most microseconds")
    return datetime.fromisoformat(text.upper()).astimezone(UTC)
