"""LOAD DATA LOCAL INFILE from memory, for one statement at a time.

aiomysql's own sender reads any file that the server names, holds 16 MiB packets, never waits for
the socket, and commits half a file after a read error. It is replaced here: the "file name" is a
random token good for one statement, the bytes come from an async iterator, packets are small and
each is drained, and any error aborts the connection so that the server rolls the statement back.
"""

import re
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiomysql
from aiomysql.connection import MySQLResult
from pymysql.err import MySQLError, OperationalError
from pymysql.protocol import LoadLocalPacketWrapper

from shared.mysql.error_texts import without_values
from shared.mysql.tls import FILE_REFUSED, insist_on_tls

PACKET_BYTES = 64 * 1024
_INFO = re.compile(r"Records: (\d+) +Deleted: (\d+) +Skipped: (\d+) +Warnings: (\d+)")


@dataclass(frozen=True, slots=True)
class LoadedRows:
    """What the server says of one LOAD DATA: all but `records` must be nothing for a good load."""

    affected: int
    records: int
    deleted: int
    skipped: int
    warnings: int


class _StreamingResult(MySQLResult):  # type: ignore[misc]
    async def _read_load_local_packet(self, first_packet: Any) -> None:
        connection = self.connection
        requested = LoadLocalPacketWrapper(first_packet).filename
        try:
            await connection.send_stream(requested)
        except BaseException:
            connection.abort()
            raise
        self._read_ok_packet(await connection._read_packet())  # noqa: SLF001


class StreamingConnection(aiomysql.Connection):  # type: ignore[misc]
    """An aiomysql connection that sends no file of this machine, only a stream it was given.

    Where it was given a TLS context, it sends no password without TLS either.
    """

    _stream: tuple[str, AsyncIterator[bytes]] | None = None

    async def load_stream(
        self, statement: str, parameters: Mapping[str, Any], chunks: AsyncIterator[bytes]
    ) -> LoadedRows:
        """Run one LOAD DATA LOCAL INFILE %(stream)s with these bytes as the file.

        Raises:
            OperationalError: the server refused, or asked for anything else than this stream.
        """
        token = secrets.token_hex(16)
        self._stream = (token, chunks)
        try:
            async with self.cursor() as cursor:
                affected = await cursor.execute(statement, {**parameters, "stream": token})
        finally:
            self._stream = None
        assert self._result is not None
        message = self._result.message or b""
        info = _INFO.search(message.decode() if isinstance(message, bytes) else message)
        if info is None:
            raise OperationalError(2014, f"LOAD DATA answered {message!r}, without its counts")
        return LoadedRows(affected, *map(int, info.groups()))

    async def show_warnings(self) -> None:
        """Nothing: a warning's text may quote a row, and the driver would print it."""

    async def send_stream(self, requested: bytes) -> None:
        """Send the stream that was announced under the name that the server asks for, once.

        Raises:
            OperationalError: nothing was announced, or under another name.
        """
        announced, self._stream = self._stream, None
        if announced is None or not secrets.compare_digest(announced[0].encode(), requested):
            raise OperationalError(*FILE_REFUSED)
        async for chunk in announced[1]:
            for start in range(0, len(chunk), PACKET_BYTES):
                self.write_packet(chunk[start : start + PACKET_BYTES])
                await self._writer.drain()
        self.write_packet(b"")
        await self._writer.drain()

    def abort(self) -> None:
        """Drop the connection at once, without a word that the server could take for an end."""
        if self._writer is not None:
            self._writer.transport.abort()
        self.close()

    async def _get_server_information(self) -> None:
        await super()._get_server_information()
        if self._ssl_context:
            insist_on_tls(self.server_capabilities)

    async def _read_query_result(self, unbuffered: bool = False) -> None:
        assert not unbuffered, "results are read whole"
        self._result = None
        result = _StreamingResult(self)
        try:
            await result.read()
        except MySQLError as error:
            match error.args:
                case (int(number), str(text)):
                    raise type(error)(number, without_values(number, text)) from None
            raise
        self._result = result
        self._affected_rows = result.affected_rows
        if result.server_status is not None:
            self.server_status = result.server_status
