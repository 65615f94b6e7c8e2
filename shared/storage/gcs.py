"""A bucket in Google Cloud Storage, or in the emulator that STORAGE_EMULATOR_HOST names.

Google's client is synchronous, so each call runs in a thread. A call that fails is tried again for
some seconds only: what takes longer is for the message's redelivery, which other work can pass.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any, Self, TypeVar

import urllib3
from google.api_core.exceptions import GoogleAPIError, NotFound, PreconditionFailed
from google.auth.exceptions import GoogleAuthError
from google.cloud.storage import Blob, Client
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from google.cloud.storage.retry import DEFAULT_RETRY

from shared.errors import ObjectExists, ObjectGone, TransientFault
from shared.storage.port import CHUNK_BYTES, ObjectInfo

Result = TypeVar("Result")

# One request fetches or sends this much, so that memory is bounded and a broken one costs little.
WINDOW_BYTES = 8 * 1024 * 1024
PATIENCE_SECONDS = 20.0
_CONNECT_SECONDS, _SILENCE_SECONDS = 5.0, 20.0
_LONGEST_REASON = 300
_FAULTS = (
    GoogleAPIError,
    GoogleAuthError,
    InvalidResponse,
    DataCorruption,
    urllib3.exceptions.HTTPError,
    HTTPException,
    OSError,  # a broken connection, and every fault of requests
)


class GcsStorage:
    """One bucket behind a `google.cloud.storage.Client`.

    A call gives up `patience_seconds` after its first fault.
    """

    def __init__(
        self, client: Client, bucket: str, *, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._client = client
        self._bucket = client.bucket(bucket)
        self._persistence: dict[str, Any] = {
            "timeout": (_CONNECT_SECONDS, _SILENCE_SECONDS),
            "retry": DEFAULT_RETRY.with_timeout(patience_seconds),
        }

    @classmethod
    def connect(cls, bucket: str, project: str) -> Self:
        """The bucket, with the credentials that this process runs under (none for an emulator).

        Raises:
            google.auth.exceptions.DefaultCredentialsError: there are no credentials.
        """
        return cls(Client(project=project), bucket)

    @property
    def bucket(self) -> str:
        """The bucket's name, as it stands in arrivals."""
        name: str = self._bucket.name
        return name

    @property
    def read_only(self) -> bool:
        """Never: what this account may write shows when it writes."""
        return False

    async def list_objects(self, prefix: str, *, most: int | None = None) -> list[ObjectInfo]:
        """The live generation of every object whose name starts so, in name order.

        With `most`, only so many of them, the first.

        Raises:
            TransientFault: the store did not answer, or has no such bucket.
        """
        return await self._ask(f"listing {prefix!r}", lambda: self._list(prefix, most))

    async def stat(self, name: str) -> ObjectInfo | None:
        """The live generation of the object, or None.

        Raises:
            TransientFault: the store did not answer.
        """
        return await self._ask(f"looking at {name!r}", lambda: self._stat(name))

    async def read(self, name: str, generation: int) -> AsyncIterator[bytes]:
        """The bytes of that generation as stored, in chunks of at most CHUNK_BYTES.

        Raises:
            ObjectGone: that generation is not there, or went away while it was read.
            TransientFault: the read broke, or gave other than the object's size.
        """
        reading = f"reading {name!r} at generation {generation}"
        info = await self._ask(reading, lambda: self._stat(name, generation))
        if info is None:
            raise ObjectGone(name, generation)
        for start in range(0, info.size_bytes, WINDOW_BYTES):
            end = min(start + WINDOW_BYTES, info.size_bytes)
            window = await self._ask(reading, lambda: self._download(info, start, end))  # noqa: B023 - awaited here
            if len(window) != end - start:
                raise TransientFault(
                    f"{self._where(reading)}: bytes {start} to {end} came as {len(window)} bytes"
                )
            for offset in range(0, len(window), CHUNK_BYTES):
                yield window[offset : offset + CHUNK_BYTES]

    async def write(
        self, name: str, source: bytes | Path, *, content_type: str, overwrite: bool = False
    ) -> ObjectInfo:
        """Store bytes, or the file at a path, under the name; a file is sent in pieces.

        Raises:
            ObjectExists: the name is taken and `overwrite` is false.
            TransientFault: the store did not take it, or the file at the path cannot be read.
        """
        writing = f"writing {name!r}"
        # The condition of the upload decides; asking first spares sending a file for nothing, and
        # covers the emulator, which does not look at the condition of an upload in pieces.
        if not overwrite and await self.stat(name) is not None:
            raise ObjectExists(f"{self._where(writing)}: it exists already")
        return await self._ask(
            writing, lambda: self._upload(name, source, content_type, overwrite=overwrite)
        )

    async def close(self) -> None:
        """Give back the connections."""
        self._client.close()

    def _list(self, prefix: str, most: int | None) -> list[ObjectInfo]:
        blobs = self._client.list_blobs(
            self._bucket,
            prefix=prefix,
            max_results=most,
            fields="items(name,generation,size,contentEncoding),nextPageToken",
            **self._persistence,
        )
        return sorted(map(_info, blobs), key=lambda info: info.name)

    def _stat(self, name: str, generation: int | None = None) -> ObjectInfo | None:
        blob = self._bucket.get_blob(name, generation=generation, **self._persistence)
        return None if blob is None else _info(blob)

    def _download(self, info: ObjectInfo, start: int, end: int) -> bytes:
        blob = self._bucket.blob(info.name, generation=info.generation)
        try:
            window: bytes = blob.download_as_bytes(
                start=start, end=end - 1, raw_download=True, checksum=None, **self._persistence
            )
        except NotFound as fault:
            raise ObjectGone(info.name, info.generation) from fault
        return window

    def _upload(
        self, name: str, source: bytes | Path, content_type: str, *, overwrite: bool
    ) -> ObjectInfo:
        blob = self._bucket.blob(name, chunk_size=WINDOW_BYTES)
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream:
            size = stream.seek(0, io.SEEK_END)
            try:
                blob.upload_from_file(
                    stream,
                    rewind=True,
                    size=size,
                    content_type=content_type,
                    if_generation_match=None if overwrite else 0,
                    **self._persistence,
                )
            except PreconditionFailed as fault:
                taken = f"{self._where(f'writing {name!r}')}: it exists already"
                raise ObjectExists(taken) from fault
        return _info(blob)

    async def _ask(self, doing: str, call: Callable[[], Result]) -> Result:
        try:
            return await asyncio.to_thread(call)
        except _FAULTS as fault:
            reason = " ".join(str(fault).split())[:_LONGEST_REASON]
            raise TransientFault(
                f"{self._where(doing)}: {type(fault).__name__}: {reason}"
            ) from fault

    def _where(self, doing: str) -> str:
        return f"bucket {self.bucket}, {doing}"


def _info(blob: Blob) -> ObjectInfo:
    return ObjectInfo(blob.name, int(blob.generation), int(blob.size), blob.content_encoding)
