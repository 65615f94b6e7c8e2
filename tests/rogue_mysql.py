"""A MySQL server, or someone before one, that asks its clients for a file of theirs.

`LOAD DATA LOCAL` is a request of the server's: it may answer any statement with one, for any file.
"""

import asyncio
import queue
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pymysql.constants import CLIENT

from tests.faults.mysql_proxy import (
    MySQLProxy,
    Session,
    StatementFault,
    StatementFaultKind,
    Wire,
    framed,
)

PATIENCE_SECONDS = 10
WANTED = b"/etc/passwd"
_OFFERS = CLIENT.CAPABILITIES & ~CLIENT.SSL
_GREETING = struct.pack(
    "<B6sI8sxHBHHB10x12sx22s", 10, b"9.7.4", 7, b"saltsalt", _OFFERS & 0xFFFF, 255, 2,
    _OFFERS >> 16, 21, b"saltsaltsalt", b"mysql_native_password",
)  # fmt: skip
_OK = b"\x00\x00\x00\x02\x00\x00\x00"
_QUIT = b"\x01"
_CHUNK_BYTES = 64 * 1024


@dataclass
class RogueServer:
    """What clients told it.

    The first `patience` statements of each connection are taken, the next is answered with a
    request for `wanted`.
    """

    url: str
    patience: int = 0
    wanted: bytes = WANTED
    logins: list[bytes] = field(default_factory=list)
    requests: int = 0
    sent: "queue.Queue[bytes]" = field(default_factory=queue.Queue)

    def answers(self) -> list[bytes]:
        """What each client that was asked for a file said to that before it hung up."""
        return [self.sent.get(timeout=PATIENCE_SECONDS) for _ in range(self.requests)]

    @property
    def offered_files(self) -> set[bool]:
        """Whether clients said at their login that they would take such a request."""
        flags = [int.from_bytes(login[:4], "little") for login in self.logins]
        return {bool(flag & CLIENT.LOCAL_FILES) for flag in flags}


class _Conversation(socketserver.StreamRequestHandler):
    rogue: RogueServer

    def handle(self) -> None:
        self._say(0, _GREETING)
        self.rogue.logins.append(self._packet())
        self._say(2, _OK)
        for number in range(self.rogue.patience + 1):
            command = self._packet()
            if command in {b"", _QUIT}:
                return
            if number < self.rogue.patience:
                self._say(1, _OK)
        self.rogue.requests += 1
        self._say(1, b"\xfb" + self.rogue.wanted)
        self.rogue.sent.put(self.rfile.read())

    def _packet(self) -> bytes:
        return self.rfile.read(int.from_bytes(self.rfile.read(4)[:3], "little"))

    def _say(self, sequence: int, payload: bytes) -> None:
        self.wfile.write(framed(payload, sequence=sequence))


@contextmanager
def rogue_server() -> Iterator[RogueServer]:
    """Such a server on this machine, which lets everyone in."""

    class Handler(_Conversation):
        pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        rogue = RogueServer(f"mysql://user:password@127.0.0.1:{server.server_address[1]}/database")
        Handler.rogue = rogue
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield rogue
        server.shutdown()
        thread.join()


@dataclass(slots=True)
class RogueProxy(MySQLProxy):
    """Stands before a real server, and answers each statement once with such a request.

    `asked` names the statements that were answered so, in their order; `sent` is what came back.
    """

    wanted: bytes = WANTED
    asked: list[str] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)

    def fault_of(self, name: str) -> StatementFault | None:
        """A request for each new name, but SET NAMES: pymysql takes whatever answers that."""
        if name in {*self.asked, "SET NAMES"}:
            return None
        self.asked.append(name)
        return StatementFault(name, StatementFaultKind.CUT_BEFORE)

    async def _converse(
        self,
        client_in: asyncio.StreamReader,
        client_out: asyncio.StreamWriter,
        server_in: asyncio.StreamReader,
        server_out: asyncio.StreamWriter,
    ) -> None:
        client, server = Wire(client_in, client_out), Wire(server_in, server_out)
        await _RogueSession(self, client, server).serve()


class _RogueSession(Session):
    async def _strike(self, kind: StatementFaultKind, command: bytes) -> None:
        assert isinstance(self.proxy, RogueProxy)
        answer = bytearray()
        try:
            await self.client.send(framed(b"\xfb" + self.proxy.wanted, sequence=1))
            while chunk := await self.client.reader.read(_CHUNK_BYTES):
                answer += chunk
        finally:  # who hangs up with something unread resets the connection
            self.proxy.sent.append(bytes(answer))
        raise ConnectionAbortedError("the client hung up")
