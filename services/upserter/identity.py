"""Internal ids: what a key's id is, in Python and in SQL, and which key yields where two meet.

An id is 63 bits of the SHA-256 of `entity/source_system/key`. Neither an entity's name nor a
source_system holds a slash, so no two keys share a text; and a rebuild from nothing gives every key
its id again. Two keys whose bits agree are told apart by hashing one of them again with a counter.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

ID_BITS: Final = 63
_HASHED_BITS: Final = 64


def hashed_id(
    entity: str, source_system: str, key: str, *, attempt: int = 0, bits: int = ID_BITS
) -> int:
    """The id of a key, or the one that it gets instead at the `attempt`-th collision.

    Args:
        entity: the entity's name.
        source_system: whose key it is.
        key: the source key, every byte of which counts.
        attempt: 0 for the key's own id, from 1 on the ones to try when that one is taken.
        bits: fewer than ID_BITS make collisions, for tests.
    """
    text = f"{entity}/{source_system}/{key}"
    if attempt:
        text = f"{attempt}/{text}"
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[: _HASHED_BITS // 8]) >> (_HASHED_BITS - bits)


def hashed_id_sql(entity: str, key_sql: str, *, bits: int = ID_BITS) -> str:
    """`hashed_id` at attempt 0 as an expression of type BIGINT.

    Args:
        entity: the entity's name.
        key_sql: the source key, a utf8mb4 text.
        bits: as for `hashed_id`.
    """
    text = f"CONCAT('{entity}/', %(source_system)s, '/', {key_sql})"
    head = f"CONV(LEFT(SHA2({text}, 256), {_HASHED_BITS // 4}), 16, 10)"
    return f"CAST(CAST({head} AS UNSIGNED) >> {_HASHED_BITS - bits} AS SIGNED)"


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
