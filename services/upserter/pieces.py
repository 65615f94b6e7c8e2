"""The pieces in which a file is worked off: ranges of the hashes by which it lies."""

from typing import Final

from shared.identity import ID_BITS

ROWS_A_PIECE: Final = 25_000

# What bounds a piece in a statement: first_hash and last_hash, both of them within.
Piece = dict[str, int]


def pieces_of(rows: int) -> list[Piece]:
    """Ranges of hashes with about ROWS_A_PIECE of so many rows each; rows lie evenly among all."""
    pieces = max(1, -(-rows // ROWS_A_PIECE))
    starts = [piece * 2**ID_BITS // pieces for piece in range(pieces)]
    ends = [*starts[1:], 2**ID_BITS]
    return [
        {"first_hash": start, "last_hash": end - 1} for start, end in zip(starts, ends, strict=True)
    ]
