"""A proxy before the storage emulator that knows the reads and strikes the one that it is told to.

A read is called after what it asks: `list imports/`, `stat imports/p/l/manifest.json`,
`media imports/p/l/customers.csv`.
"""

import asyncio
import socket
import struct
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

import httpx

from tests.faults.relay import Relay

_HEAD_ENDS = b"\r\n\r\n"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_METADATA, _MEDIA = "/storage/v1/b/", "/download/storage/v1/b/"
_REFUSAL = b'{"error": {"code": 503, "message": "try again"}}'


class ReadFaultKind(StrEnum):
    """What becomes of a read: an error, an answer that breaks off, an object that is replaced."""

    UNAVAILABLE = "unavailable"
    SHORT = "short"
    RESET = "reset"
    SAME_BYTES = "same_bytes"
    OTHER_BYTES = "other_bytes"


@dataclass(frozen=True, slots=True)
class ReadFault:
    """Strikes at `times` reads of one name, from the `occurrence`-th since it was armed.

    `victim` is the object that a replacement replaces; by default the one that is read.
    """

    name: str
    kind: ReadFaultKind
    occurrence: int = 1
    times: int = 1
    victim: str | None = None


def read_name(method: str, target: str) -> str | None:
    """The name of the read that a request asks for, or None where it is none."""
    url = urlsplit(target)
    options = {name: values[0] for name, values in parse_qs(url.query).items()}
    for place in (_METADATA, _MEDIA):
        if method == "GET" and url.path.startswith(place):
            _, is_of_objects, name = url.path.removeprefix(place).partition("/o")
            if is_of_objects and name in {"", "/"}:
                return f"list {options.get('prefix', '')}"
            is_media = place == _MEDIA or options.get("alt") == "media"
            return f"{'media' if is_media else 'stat'} {unquote(name[1:])}" if name else None
    return None


@dataclass(slots=True)
class GcsProxy:
    """Passes every connection on to `host:port`; `seen` counts the reads that went by."""

    host: str
    port: int
    seen: Counter[str] = field(default_factory=Counter)
    strikes: int = 0
    _armed: ReadFault | None = None
    _passed: int = 0
    _relay: Relay | None = None

    async def start(self) -> int:
        """Listen on a free port of the loopback and return it."""
        self._relay = Relay(self.host, self.port, self._converse)
        return await self._relay.start()

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._relay is not None:
            await self._relay.close()

    def arm(self, fault: ReadFault) -> None:
        """Strike so from now on."""
        self._armed, self._passed, self.strikes = fault, 0, 0

    def disarm(self) -> None:
        """Strike no more."""
        self._armed = None

    @property
    def struck(self) -> bool:
        """Whether the fault that was armed last has struck."""
        return self.strikes > 0

    def fault_of(self, name: str) -> ReadFault | None:
        """Count a read that comes by, and give the fault that is meant for it."""
        self.seen[name] += 1
        fault = self._armed
        if fault is None or fault.name != name:
            return None
        self._passed += 1
        if not 0 <= self._passed - fault.occurrence < fault.times:
            return None
        self.strikes += 1
        return fault

    async def _converse(
        self,
        client_in: asyncio.StreamReader,
        client_out: asyncio.StreamWriter,
        server_in: asyncio.StreamReader,
        server_out: asyncio.StreamWriter,
    ) -> None:
        while True:
            await self._pass_one(client_in, client_out, server_in, server_out)

    async def _pass_one(
        self,
        client_in: asyncio.StreamReader,
        client_out: asyncio.StreamWriter,
        server_in: asyncio.StreamReader,
        server_out: asyncio.StreamWriter,
    ) -> None:
        request = await _Message.read(client_in)
        method, target, _ = request.first_line.split(" ")
        name = read_name(method, target)
        fault = None if name is None else self.fault_of(name)
        if fault is not None and fault.kind is ReadFaultKind.UNAVAILABLE:
            await _send(client_out, _refusal())
            return
        if fault is not None and fault.kind in {
            ReadFaultKind.SAME_BYTES,
            ReadFaultKind.OTHER_BYTES,
        }:
            victim = fault.victim or fault.name.partition(" ")[2]
            await self._replace(_bucket_of(target), victim, fault.kind)
        await _send(server_out, request.head + request.body)
        answer = await _Message.read(server_in, is_answer_to=method)
        if fault is None or fault.kind not in {ReadFaultKind.SHORT, ReadFaultKind.RESET}:
            await _send(client_out, answer.head + answer.body)
            return
        await _send(client_out, answer.head + answer.body[: len(answer.body) // 2])
        if fault.kind is ReadFaultKind.RESET:
            raw: socket.socket = client_out.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        raise ConnectionAbortedError("cut")

    async def _replace(self, bucket: str, name: str, kind: ReadFaultKind) -> None:
        """Overwrite an object, so that its generation is another one."""
        async with httpx.AsyncClient(base_url=f"http://{self.host}:{self.port}") as client:
            path = f"{_MEDIA}{bucket}/o/{quote(name, safe='')}"
            found = await client.get(path, params={"alt": "media"})
            found.raise_for_status()
            more = b"" if kind is ReadFaultKind.SAME_BYTES else b"\n"
            stored = await client.post(
                f"/upload/storage/v1/b/{bucket}/o",
                params={"uploadType": "media", "name": name},
                content=found.content + more,
            )
            stored.raise_for_status()


@dataclass(frozen=True, slots=True)
class _Message:
    """A request or an answer as it came: its head with the empty line, and its raw body."""

    head: bytes
    body: bytes

    @property
    def first_line(self) -> str:
        return self.head.partition(b"\r\n")[0].decode("latin-1")

    @classmethod
    async def read(cls, reader: asyncio.StreamReader, *, is_answer_to: str | None = None) -> Self:
        head = await reader.readuntil(_HEAD_ENDS)
        lines = head.decode("latin-1").lower().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        status = lines[0].split(" ")[1]
        if is_answer_to == "HEAD" or (is_answer_to is not None and status in {"204", "304"}):
            return cls(head, b"")
        if fields.get("transfer-encoding") == "chunked":
            return cls(head, await _chunks(reader))
        return cls(head, await reader.readexactly(int(fields.get("content-length", 0))))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        line = await reader.readuntil(b"\r\n")
        size_bytes = int(line.partition(b";")[0], 16)
        body += line + await reader.readexactly(size_bytes + len(b"\r\n"))
        if size_bytes == 0:
            return bytes(body)


def _refusal() -> bytes:
    status = HTTPStatus.SERVICE_UNAVAILABLE
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(_REFUSAL)}\r\n\r\n"
    )
    return head.encode() + _REFUSAL


def _bucket_of(target: str) -> str:
    return urlsplit(target).path.partition("/b/")[2].partition("/")[0]


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()
