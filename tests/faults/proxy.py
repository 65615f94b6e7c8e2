"""A TCP proxy that breaks connections half way: the fault that a network makes, not a stand-in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_PIECE_BYTES = 64 * 1024


@dataclass(slots=True)
class CuttingProxy:
    """Passes every connection on to `host:port`.

    While `cuts_left` is above 0 a connection dies once it has carried `cut_after_bytes` of answers.
    """

    host: str
    port: int
    cut_after_bytes: int
    cuts_left: int
    cuts_made: int = field(default=0, init=False)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[int]:
        """Listen on a free port of the loopback, which is given."""
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    async def _pass_on(
        self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter
    ) -> None:
        server_in, server_out = await asyncio.open_connection(self.host, self.port)
        asking = asyncio.create_task(_copy(client_in, server_out))
        try:
            carried_bytes = 0
            while piece := await server_in.read(_PIECE_BYTES):
                if self.cuts_left > 0 and carried_bytes + len(piece) > self.cut_after_bytes:
                    self.cuts_left -= 1
                    self.cuts_made += 1
                    client_out.write(piece[: self.cut_after_bytes - carried_bytes])
                    break
                carried_bytes += len(piece)
                client_out.write(piece)
                await client_out.drain()
        except ConnectionError:
            pass  # the client has gone
        finally:
            asking.cancel()
            server_out.close()
            client_out.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await source.read(_PIECE_BYTES):
            target.write(piece)
            await target.drain()
        target.write_eof()
