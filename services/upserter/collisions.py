"""Which key yields where two have the same id.

Two keys whose hashes agree are told apart by hashing one of them again with a counter.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby


@dataclass(frozen=True, slots=True)
class Contested:
    """A new key whose id another one has, or wants too.

    `is_taken` tells that the other one has it already, and so never yields.
    """

    row_no: int
    source_key: str
    internal_id: int
    is_taken: bool


def yielding(contested: Iterable[Contested]) -> Iterator[Contested]:
    """The keys that need another id, in the order in which they choose it.

    Of several keys that may have the id the first by its bytes keeps it.
    """
    in_order = sorted(contested, key=lambda one: (one.internal_id, one.source_key.encode()))
    for _, group in groupby(in_order, key=lambda one: one.internal_id):
        rivals = list(group)
        keeper = next((rival for rival in rivals if not rival.is_taken), None)
        yield from (rival for rival in rivals if rival is not keeper)
