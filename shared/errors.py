"""What may go wrong with a load, told apart by who has to act.

A `Rejected` load is the partner's to mend: it ends `failed` with a `Failure`. A `TransientFault` is
ours: the message is tried again and the partner never hears of it. Every code of a failure or of a
rejected row stands in `errors.toml`, with its meaning and its remedy, and nowhere else.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Self

LONGEST_MESSAGE = 4_000


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One entry of the catalogue: what the code means and what the partner does next."""

    code: str
    meaning: str
    remedy: str


@cache
def catalogue() -> dict[str, ErrorCode]:
    """Every error code of the project, by its name `area.problem`."""
    areas: dict[str, dict[str, dict[str, str]]] = tomllib.loads(
        files("shared").joinpath("errors.toml").read_text(encoding="utf-8")
    )
    return {
        f"{area}.{problem}": ErrorCode(f"{area}.{problem}", entry["meaning"], entry["remedy"])
        for area, problems in areas.items()
        for problem, entry in problems.items()
    }


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a load was rejected: what, where, and what to do next.

    `row` counts data rows from 1, the header not counted. `message` may name values of the manifest
    (hashes, counts, names) but never the values of a row.
    """

    code: str
    message: str
    remedy: str
    file: str | None = None
    row: int | None = None
    column: str | None = None

    @classmethod
    def of(
        cls,
        code: str,
        message: str,
        *,
        file: str | None = None,
        row: int | None = None,
        column: str | None = None,
    ) -> Self:
        """A failure with the catalogue's remedy, its message cut to LONGEST_MESSAGE characters.

        Raises:
            KeyError: the code does not stand in the catalogue.
        """
        remedy = catalogue()[code].remedy
        return cls(code, message[:LONGEST_MESSAGE], remedy, file, row, column)

    def to_json(self) -> dict[str, Any]:
        """The failure as it stands in a report."""
        return {
            "code": self.code,
            "message": self.message,
            "remedy": self.remedy,
            "file": self.file,
            "row": self.row,
            "column": self.column,
        }


def shown(value: object, *, most: int = 80) -> str:
    """A name or value of a manifest or a bucket as it may stand in a message, a log or a card.

    Printable ASCII in quotes and at most `most` characters of it: look-alike letters, line breaks
    and control characters become visible, and no text can fill a notification.
    """
    text = value[: most + 1] if isinstance(value, str) else value
    safe = ascii(text)
    return safe if len(safe) <= most else f"{safe[:most]}..."


class Rejected(Exception):  # noqa: N818 - a verdict on the load, not an error of ours
    """The load cannot be taken as delivered; retrying the same bytes gives the same answer."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.code}: {failure.message}")
        self.failure = failure


class TransientFault(Exception):  # noqa: N818 - the field's own term
    """A fault of the infrastructure that may pass; the message is tried again."""


class Waiting(Exception):  # noqa: N818 - not an error: it is another load's turn
    """The stage has to let another load go first; the lease is given back, and it is called again.

    `older` is the load that is older and goes first. A busy gate has none: it frees itself, so the
    time before it counts towards no limit.
    """

    def __init__(self, reason: str, *, older: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.older = older


class LeaseLost(Exception):  # noqa: N818 - the field's own term
    """Another worker took the load over; this one must stop at once and change nothing more."""


class ObjectGone(Exception):  # noqa: N818 - a fact about the bucket
    """The object, or that generation of it, is not in the bucket any more."""

    def __init__(self, name: str, generation: int | None = None) -> None:
        super().__init__(f"{name} at generation {generation} is not there")
        self.name = name
        self.generation = generation


class ObjectExists(Exception):  # noqa: N818 - a fact about the bucket
    """The object was to be created, but another one has that name already."""
