"""A proxy before MySQL that knows the statements by name, and strikes the one that it is told to.

It reads as much of the protocol as that takes: packets, the login, the text of a query, and where
an answer ends. Connections must be plain: without TLS, without compression, with EOF packets, as
the project's drivers make them on a loopback.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from shared.errors import TransientFault
from shared.mysql.connect import connect
from tests.faults.relay import Relay

_FRAME_HEAD_BYTES = 4
_FULL_FRAME_BYTES = 0xFFFFFF
_FLUSH_BYTES = 64 * 1024
_MORE_RESULTS = 0x0008
_LONGEST_EOF_BYTES = _FRAME_HEAD_BYTES + 8
_QUIT, _QUERY = 0x01, 0x03
_OK, _MORE_AUTH, _LOCAL_INFILE, _EOF, _ERR = 0x00, 0x01, 0xFB, 0xFE, 0xFF
_FAST_AUTH_DONE = 0x03
_NAMED = re.compile(rb"\w+ /\* ([\w.]+) \*/")
_BARE = re.compile(rb"\s*(\w+)(?:\s+([@\w]+))?")
_ERRORS = {
    1205: b"HY000Lock wait timeout exceeded; try restarting transaction",
    1213: b"40001Deadlock found when trying to get lock; try restarting transaction",
}


class StatementFaultKind(StrEnum):
    """What becomes of a statement on its way to the server, or of its answer on the way back."""

    CUT_BEFORE = "cut_before"
    CUT_AFTER = "cut_after"
    STALL = "stall"
    LOCK_TIMEOUT = "lock_timeout"
    DEADLOCK = "deadlock"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class StatementFault:
    """One strike at the `occurrence`-th statement of this name since the fault was armed."""

    name: str
    kind: StatementFaultKind
    occurrence: int = 1


def statement_name(text: bytes) -> str:
    """The name that a statement carries behind its first word, else its first two words."""
    if named := _NAMED.match(text):
        return named[1].decode()
    bare = _BARE.match(text)
    return "" if bare is None else b" ".join(filter(None, bare.groups())).decode().upper()


@dataclass(slots=True)
class MySQLProxy:
    """Passes every connection on to `host:port`; `seen` counts the statements that went by.

    An answer that stalls is held for `stall_seconds`. The kind `kill` needs `administrator`, the
    URL of an account that may end connections.
    """

    host: str
    port: int
    administrator: str | None = None
    stall_seconds: float = 3.0
    seen: Counter[str] = field(default_factory=Counter)
    _armed: list[StatementFault] = field(default_factory=list)
    _passed: Counter[str] = field(default_factory=Counter)
    _relay: Relay | None = None

    async def start(self) -> int:
        """Listen on a free port of the loopback and return it."""
        self._relay = Relay(self.host, self.port, self._converse)
        return await self._relay.start()

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._relay is not None:
            await self._relay.close()

    def arm(self, *faults: StatementFault) -> None:
        """Strike so from now on, each fault once.

        Raises:
            ValueError: `kill` is wanted, and no administrator is known.
        """
        if self.administrator is None and any(
            fault.kind is StatementFaultKind.KILL for fault in faults
        ):
            raise ValueError("a connection can only be killed with an administrator's URL")
        self._armed = list(faults)
        self._passed.clear()

    def disarm(self) -> None:
        """Strike no more; what has not struck yet never will."""
        self._armed = []

    @property
    def struck(self) -> bool:
        """Whether every fault that was armed has struck."""
        return not self._armed

    def fault_of(self, name: str) -> StatementFault | None:
        """Count a statement that comes by, and give the fault that is meant for it."""
        self.seen[name] += 1
        self._passed[name] += 1
        for fault in self._armed:
            if (fault.name, fault.occurrence) == (name, self._passed[name]):
                self._armed.remove(fault)
                return fault
        return None

    async def _converse(
        self,
        client_in: asyncio.StreamReader,
        client_out: asyncio.StreamWriter,
        server_in: asyncio.StreamReader,
        server_out: asyncio.StreamWriter,
    ) -> None:
        client, server = Wire(client_in, client_out), Wire(server_in, server_out)
        await Session(self, client, server).serve()


@dataclass(frozen=True, slots=True)
class Wire:
    """One side of a connection, packet by packet."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def packet(self) -> bytes:
        """The next packet as it came, its frames' heads included."""
        frames = b""
        while True:
            head = await self.reader.readexactly(_FRAME_HEAD_BYTES)
            size_bytes = int.from_bytes(head[:3], "little")
            frames += head + await self.reader.readexactly(size_bytes)
            if size_bytes < _FULL_FRAME_BYTES:
                return frames

    async def send(self, packet: bytes) -> None:
        self.writer.write(packet)
        await self.writer.drain()


@dataclass(slots=True)
class Session:
    """One client's conversation with the server."""

    proxy: MySQLProxy
    client: Wire
    server: Wire
    thread_id: int = 0

    async def serve(self) -> None:
        """Pass on what both sides say until one of them goes."""
        await self._log_in()
        while True:
            command = await self.client.packet()
            if command[_FRAME_HEAD_BYTES] == _QUIT:
                await self.server.send(command)
                return
            fault = None
            if command[_FRAME_HEAD_BYTES] == _QUERY:
                fault = self.proxy.fault_of(statement_name(command[_FRAME_HEAD_BYTES + 1 :]))
            if fault is None:
                await self.server.send(command)
                await self._answer(self.client.writer.write)
                await self.client.writer.drain()
            else:
                await self._strike(fault.kind, command)

    async def _log_in(self) -> None:
        greeting = await self.server.packet()
        await self.client.send(greeting)
        if greeting[_FRAME_HEAD_BYTES] == _ERR:
            raise ConnectionAbortedError("the server lets nobody in")
        version_ends = greeting.index(b"\0", _FRAME_HEAD_BYTES)
        self.thread_id = int.from_bytes(greeting[version_ends + 1 : version_ends + 5], "little")
        await self.server.send(await self.client.packet())
        while True:
            reply = await self.server.packet()
            await self.client.send(reply)
            kind = reply[_FRAME_HEAD_BYTES]
            if kind in {_OK, _ERR}:
                return
            if kind != _MORE_AUTH or reply[_FRAME_HEAD_BYTES + 1] != _FAST_AUTH_DONE:
                await self.server.send(await self.client.packet())

    async def _answer(self, take: Callable[[bytes], None]) -> None:
        """Read one answer to its end and give it on as it comes."""
        first = await self.server.packet()
        if first[_FRAME_HEAD_BYTES] == _LOCAL_INFILE:
            await self.client.send(first)
            await self._pass_stream()
            first = await self.server.packet()
        if first[_FRAME_HEAD_BYTES] in {_OK, _ERR}:
            take(first)
            return
        held, ends = bytearray(first), 0
        while ends < 2:  # the columns end with one, the rows with another
            packet = await self.server.packet()
            held += packet
            kind = packet[_FRAME_HEAD_BYTES]
            if kind == _ERR:
                break
            if kind == _EOF and len(packet) <= _LONGEST_EOF_BYTES:
                ends += 1
                more = int.from_bytes(packet[-2:], "little") & _MORE_RESULTS
            if len(held) > _FLUSH_BYTES:
                take(bytes(held))
                held.clear()
        take(bytes(held))
        if kind == _EOF and more:  # a routine's rows are followed by its own end
            await self._answer(take)

    async def _pass_stream(self) -> None:
        while True:
            packet = await self.client.packet()
            await self.server.send(packet)
            if len(packet) == _FRAME_HEAD_BYTES:
                return

    async def _strike(self, kind: StatementFaultKind, command: bytes) -> None:
        match kind:
            case StatementFaultKind.CUT_BEFORE:
                self._cut()
            case StatementFaultKind.CUT_AFTER:
                await self.server.send(command)
                await self._answer(lambda _: None)
                self._cut()
            case StatementFaultKind.STALL:
                await self.server.send(command)
                held: list[bytes] = []
                await self._answer(held.append)
                await asyncio.sleep(self.proxy.stall_seconds)
                await self.client.send(b"".join(held))
            case StatementFaultKind.LOCK_TIMEOUT:
                await self.client.send(_error(1205))
            case StatementFaultKind.DEADLOCK:
                await self.server.send(framed(bytes([_QUERY]) + b"ROLLBACK", sequence=0))
                await self._answer(lambda _: None)
                await self.client.send(_error(1213))
            case StatementFaultKind.KILL:
                await self._send_and_kill(command)

    def _cut(self) -> None:
        self.client.writer.transport.abort()
        raise ConnectionAbortedError("cut")

    async def _send_and_kill(self, command: bytes) -> None:
        assert self.proxy.administrator is not None
        with suppress(TransientFault):  # somebody else was quicker
            async with connect(self.proxy.administrator, program_name="killer") as killer:
                await self.server.send(command)
                await killer.execute("KILL CONNECTION %(id)s", {"id": self.thread_id})
        await self._answer(self.client.writer.write)
        await self.client.writer.drain()


def _error(number: int) -> bytes:
    payload = bytes([_ERR]) + number.to_bytes(2, "little") + b"#" + _ERRORS[number]
    return framed(payload, sequence=1)


def framed(payload: bytes, *, sequence: int) -> bytes:
    """A payload as a packet, where it is short enough for one."""
    return len(payload).to_bytes(3, "little") + bytes([sequence]) + payload
