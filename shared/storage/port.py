"""What the project needs of an object store: one bucket, generations, streamed reads."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One generation of one object; the sizes are bytes as stored."""

    name: str
    generation: int
    size_bytes: int
    content_encoding: str | None = None


class Storage(Protocol):
    """One bucket. Names are relative to it: `imports/{partner}/{load_id}/{file}`."""

    @property
    def bucket(self) -> str:
        """The bucket's name, as it stands in arrivals."""
        ...

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written to it: a folder that was handed over for reading."""
        ...

    async def list_objects(self, prefix: str, *, most: int | None = None) -> list[ObjectInfo]:
        """The live generation of every object whose name starts so, in name order.

        With `most`, only so many of them, the first.

        Raises:
            TransientFault: the store did not answer.
        """
        ...

    async def stat(self, name: str) -> ObjectInfo | None:
        """The live generation of the object, or None.

        Raises:
            TransientFault: the store did not answer.
        """
        ...

    def read(self, name: str, generation: int) -> AsyncIterator[bytes]:
        """The bytes of that generation as stored, in chunks of at most CHUNK_BYTES.

        Raises:
            ObjectGone: that generation is not there any more.
            TransientFault: the read broke, or ended short of the object's size.
        """
        ...

    async def write(
        self, name: str, source: bytes | Path, *, content_type: str, overwrite: bool = False
    ) -> ObjectInfo:
        """Store bytes, or the file at a path, under the name.

        Raises:
            ObjectExists: the name is taken and `overwrite` is false.
            TransientFault: the store did not take it.
        """
        ...

    async def close(self) -> None:
        """Give back connections and threads."""
        ...
