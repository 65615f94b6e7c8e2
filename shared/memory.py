"""What a process keeps of the memory that it has used."""

import ctypes
from typing import Final

_M_MMAP_THRESHOLD: Final = -3  # malloc.h
LARGE_BYTES: Final = 128 * 1024


def give_large_buffers_back() -> None:
    """Let the C library return each buffer of LARGE_BYTES or more to the system once it is freed.

    Left to itself, glibc takes the size of the first one freed for usual: it keeps those that
    follow in heaps, one for each thread, which are never as small again as they have been large.
    Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
