"""The listening half of a proxy: every connection gets one of its own to the server behind."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

Converse = Callable[
    [asyncio.StreamReader, asyncio.StreamWriter, asyncio.StreamReader, asyncio.StreamWriter],
    Awaitable[None],
]


@dataclass(slots=True)
class Relay:
    """Accepts connections for `host:port` and hands both sides of each to `converse`.

    `converse` gets the client's reader and writer, then the server's; when it ends, or one side
    goes, both are dropped.
    """

    host: str
    port: int
    converse: Converse
    _sessions: set["asyncio.Task[None]"] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen on a free port of the loopback and return it."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
        for session in self._sessions:
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    async def _serve(
        self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        try:
            server_in, server_out = await asyncio.open_connection(self.host, self.port)
            try:
                await self.converse(client_in, client_out, server_in, server_out)
            finally:
                server_out.transport.abort()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one side has gone, or was cut off: the other follows
        finally:
            client_out.close()
            self._sessions.discard(task)
