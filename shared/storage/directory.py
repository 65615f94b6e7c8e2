"""A bucket in a folder of this machine: each object is a file, its generation read off the file."""

import asyncio
import errno
import hashlib
import os
import re
import shutil
import stat
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO, NoReturn, Self, TypeVar
from uuid import uuid4

from shared.errors import ObjectExists, ObjectGone, TransientFault
from shared.storage.port import CHUNK_BYTES, ObjectInfo

Result = TypeVar("Result")

# Files come to their name complete or not at all: they are written in this folder of the root.
_UNFINISHED = ".unfinished"
_NO_FILE_NAME = re.compile("[\0\ud800-\udfff]")
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
_LARGEST_BIGINT = 2**63 - 1
_MILLISECOND_BITS = 20  # 2**20 ns are about a millisecond


def generation_of(status: os.stat_result) -> int:
    """The generation of the file that has this status: above 0, and a signed 64-bit number.

    It is the time of the last change to about a millisecond, filled up with bits that stand for the
    exact time, the inode and the size, so that replacing a file within one tick shows too.
    """
    identity = f"{status.st_mtime_ns}/{status.st_ino}/{status.st_size}".encode()
    digest = int.from_bytes(hashlib.blake2b(identity).digest())
    low_bits = (1 << _MILLISECOND_BITS) - 1
    return (status.st_mtime_ns & _LARGEST_BIGINT & ~low_bits) | (digest & low_bits) or 1


class DirectoryStorage:
    """A bucket whose objects are the files below `root`, a folder that exists.

    A name that would lead out of the folder, by `..` or by a symbolic link, names nothing.
    """

    def __init__(self, root: Path, bucket: str) -> None:
        self._root = root.resolve()
        self._bucket = bucket
        self._prefix = ""
        self._writable = True

    @classmethod
    def mounting(cls, directory: Path, prefix: str, *, bucket: str = "local") -> Self:
        """A bucket that holds nothing but the files of `directory`, their names after `prefix`.

        So a drop that lies anywhere reads as `imports/{partner}/{load_id}/`. What was handed over
        is only read: nothing can be written to this bucket.

        Raises:
            ValueError: the prefix does not end with a slash.
        """
        if not prefix.endswith("/"):
            raise ValueError(f"the prefix {prefix!r} must end with a slash")
        storage = cls(directory, bucket)
        storage._prefix, storage._writable = prefix, False
        return storage

    @property
    def bucket(self) -> str:
        """The bucket's name, as it stands in arrivals."""
        return self._bucket

    @property
    def read_only(self) -> bool:
        """Whether it is a mounted folder."""
        return not self._writable

    async def list_objects(self, prefix: str, *, most: int | None = None) -> list[ObjectInfo]:
        """The live generation of every object whose name starts so, in name order.

        With `most`, only so many of them, the first.

        Raises:
            TransientFault: the folder could not be read, or is not there.
        """
        return await self._ask(f"listing {prefix!r}", lambda: self._list(prefix, most))

    async def stat(self, name: str) -> ObjectInfo | None:
        """The live generation of the object, or None.

        Raises:
            TransientFault: the file could not be looked at.
        """
        return await self._ask(f"looking at {name!r}", lambda: self._stat(name))

    async def read(self, name: str, generation: int) -> AsyncIterator[bytes]:
        """The bytes of that generation, in chunks of at most CHUNK_BYTES.

        Raises:
            ObjectGone: the file is another generation, or became one while it was read.
            TransientFault: the read broke, or ended short of the file's size.
        """
        reading = f"reading {name!r}"
        file = await self._ask(reading, lambda: self._open(name, generation))
        try:
            total_bytes = 0
            while chunk := await self._ask(reading, lambda: file.read(CHUNK_BYTES)):
                total_bytes += len(chunk)
                yield chunk
            status = await self._ask(reading, lambda: os.fstat(file.fileno()))
        finally:
            file.close()
        if generation_of(status) != generation:
            raise ObjectGone(name, generation)
        if total_bytes != status.st_size:
            raise TransientFault(
                f"{self._where(reading)}: it ended after {total_bytes} of {status.st_size} bytes"
            )

    async def write(
        self,
        name: str,
        source: bytes | Path,
        *,
        content_type: str,  # noqa: ARG002 - a file has no content type
        overwrite: bool = False,
    ) -> ObjectInfo:
        """Store bytes, or the file at a path, under the name, complete or not at all.

        Raises:
            ObjectExists: the name is taken and `overwrite` is false.
            PermissionError: the bucket is a mounted folder, which is only read.
            TransientFault: the file could not be written, or the one at the path not read.
            ValueError: no file can have this name.
        """
        if not self._writable:
            raise PermissionError(f"{name!r} cannot be written: {self._root} is only read")
        return await self._ask(f"writing {name!r}", lambda: self._write(name, source, overwrite))

    async def close(self) -> None:
        """Nothing to give back: no file stays open between calls."""

    def _list(self, prefix: str, most: int | None) -> list[ObjectInfo]:
        names = []
        for folder, _, file_names in os.walk(self._root, onerror=_raise):
            below = Path(folder).relative_to(self._root)
            names += [self._prefix + (below / file_name).as_posix() for file_name in file_names]
        names = sorted(name for name in names if name.startswith(prefix))
        found = [self._stat(name) for name in names[:most]]
        return [info for info in found if info is not None]

    def _stat(self, name: str) -> ObjectInfo | None:
        path = self._locate(name)
        if path is None:
            return None
        try:
            status = path.lstat()
        except OSError as fault:
            if fault.errno in _NOT_THERE:
                return None
            raise
        return _info(name, status) if stat.S_ISREG(status.st_mode) else None

    def _open(self, name: str, generation: int) -> BinaryIO:
        path = self._locate(name)
        if path is None:
            raise ObjectGone(name, generation)
        try:
            # Not blocking, for else opening a pipe would wait for its other end.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as fault:
            if fault.errno in _NOT_THERE:
                raise ObjectGone(name, generation) from fault
            raise
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or generation_of(status) != generation:
            os.close(descriptor)
            raise ObjectGone(name, generation)
        return os.fdopen(descriptor, "rb", buffering=0)

    def _write(self, name: str, source: bytes | Path, overwrite: bool) -> ObjectInfo:
        target = self._locate(name)
        if target is None:
            raise ValueError(f"{name!r} cannot be the name of a file in {self._root}")
        unfinished = self._root / _UNFINISHED / uuid4().hex
        unfinished.parent.mkdir(exist_ok=True)
        try:
            if isinstance(source, bytes):
                unfinished.write_bytes(source)
            else:
                shutil.copyfile(source, unfinished)
            # The kernel's own stamps are some milliseconds apart: too coarse for a generation.
            os.utime(unfinished, ns=(now := time.time_ns(), now))
            info = _info(name, unfinished.stat())
            target.parent.mkdir(parents=True, exist_ok=True)
            _give_name(unfinished, target, overwrite)
        finally:
            unfinished.unlink(missing_ok=True)
        return info

    def _locate(self, name: str) -> Path | None:
        """Where the object's file stands or would stand, links followed; None if it cannot."""
        inner = name.removeprefix(self._prefix)
        segments = inner.split("/")
        if (
            not name.startswith(self._prefix)
            or not {"", ".", ".."}.isdisjoint(segments)
            or segments[0] == _UNFINISHED
            or _NO_FILE_NAME.search(inner)
        ):
            return None
        path = Path(os.path.realpath(self._root.joinpath(*segments)))
        return path if path.is_relative_to(self._root) else None

    async def _ask(self, doing: str, call: Callable[[], Result]) -> Result:
        try:
            return await asyncio.to_thread(call)
        except OSError as fault:
            raise TransientFault(f"{self._where(doing)}: {fault}") from fault

    def _where(self, doing: str) -> str:
        return f"folder {self._root}, {doing}"


def _info(name: str, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(name, generation_of(status), status.st_size)


def _give_name(unfinished: Path, target: Path, overwrite: bool) -> None:
    if overwrite:
        unfinished.replace(target)
        return
    try:
        target.hardlink_to(unfinished)
    except FileExistsError as taken:
        raise ObjectExists(f"{target} exists already") from taken


def _raise(fault: OSError) -> NoReturn:
    raise fault
