"""The one way by which a name comes into a statement; values are bound, and never come in so."""

import re
from typing import Final

# What every MySQL takes without a second thought, and at most the 64 characters that it takes.
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def is_plain(name: str) -> bool:
    """Whether a name is one that `quoted` takes."""
    return _PLAIN.fullmatch(name) is not None


def quoted(name: str) -> str:
    """The name of a table, a column or a database as a statement takes it, in backticks.

    Raises:
        ValueError: it is no plain identifier, and so none of ours.
    """
    if not is_plain(name):
        raise ValueError(f"{name!r} is no plain identifier, and comes into no statement")
    return f"`{name}`"
