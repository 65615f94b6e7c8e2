"""What no connection gives away: the password without TLS that was asked for, and a file.

The drivers go on in plain text where a server's greeting offers no TLS, and whoever sits in between
can take the offer out of it: the login that follows would give him the password.
"""

from typing import Any, Final

import pymysql
from pymysql.constants import CLIENT, CR

FILE_REFUSED: Final = (2068, "the server asked for a file that was not offered to it")


def insist_on_tls(capabilities: int) -> None:
    """Go on only with a server whose greeting, in its capability flags, offers TLS.

    Raises:
        OperationalError: it does not.
    """
    if not capabilities & CLIENT.SSL:
        raise pymysql.err.OperationalError(
            CR.CR_SSL_CONNECTION_ERROR,
            "the URL asks for TLS (ssl=required), but the server offers none: no password was "
            "sent; turn TLS on in the server, and look for what may strip it on the way",
        )


class BlockingConnection(pymysql.Connection):
    """A pymysql connection, for threads and tools: no password without TLS, and no file ever."""

    def _read_query_result(self, unbuffered: bool = False) -> Any:
        try:
            return super()._read_query_result(unbuffered)  # type: ignore[misc]
        except RuntimeError as asked:  # all that the driver says where a server asks for a file
            self._force_close()  # type: ignore[attr-defined]
            raise pymysql.err.OperationalError(*FILE_REFUSED) from asked

    def _get_server_information(self) -> None:
        super()._get_server_information()  # type: ignore[misc]
        if self.ssl:
            insist_on_tls(self.server_capabilities)  # type: ignore[attr-defined]
