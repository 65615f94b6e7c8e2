"""A relay that hands on what a server answers no faster than so many bytes a second."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

PIECE_BYTES: Final = 16 * 1024


@dataclass(slots=True)
class SlowRelay:
    """Stands before `host:port`; all its connections share one pace."""

    host: str
    port: int
    bytes_a_second: float
    _pace: asyncio.Lock = field(default_factory=asyncio.Lock)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Listen on a free port of the loopback, which is given."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            port: int = server.sockets[0].getsockname()[1]
            yield port

    async def _serve(
        self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter
    ) -> None:
        server_in, server_out = await asyncio.open_connection(self.host, self.port)
        ways = (
            asyncio.create_task(_hand_on(client_in, server_out)),
            asyncio.create_task(_hand_on(server_in, client_out, self)),
        )
        with contextlib.suppress(asyncio.CancelledError):  # the loop ends, and this with it
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for writer in (server_out, client_out):
            writer.close()

    async def take_time(self, size_bytes: int) -> None:
        """Wait for as long as so many bytes take, after those that came before."""
        async with self._pace:
            await asyncio.sleep(size_bytes / self.bytes_a_second)


async def _hand_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, slowed_by: SlowRelay | None = None
) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE_BYTES):
            if slowed_by is not None:
                await slowed_by.take_time(len(piece))
            writer.write(piece)
            await writer.drain()
