"""Internal ids: 63 bits of the SHA-256 of `entity/source_system/key`.

Neither an entity's name nor a source_system holds a slash, so no two keys share a text; and a
rebuild from nothing gives every key its id again.
"""

import hashlib
import struct
from collections.abc import Iterable
from typing import Final

ID_BITS: Final = 63
_SPARE_BITS: Final = 64 - ID_BITS
_first_64_bits = struct.Struct(">Q24x").iter_unpack


def key_prefix(entity: str, source_system: str) -> bytes:
    """What is hashed before a key's own bytes."""
    return f"{entity}/{source_system}/".encode()


def hashes_of(prefix: bytes, keys: Iterable[bytes]) -> list[int]:
    """ID_BITS of the SHA-256 of the prefix and each key."""
    sha256 = hashlib.sha256
    digests = b"".join([sha256(prefix + key).digest() for key in keys])
    return [number >> _SPARE_BITS for (number,) in _first_64_bits(digests)]


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
    prefix = key_prefix(entity, source_system)
    if attempt:
        prefix = f"{attempt}/".encode() + prefix
    (hashed,) = hashes_of(prefix, [key.encode()])
    return hashed >> (ID_BITS - bits)
