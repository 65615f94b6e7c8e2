"""TLS that was asked for is insisted on before the server is told anything.

The drivers go on in plain text where a server's greeting offers no TLS, and whoever sits in between
can take the offer out of it: the login that follows would give him the password.
"""

import pymysql
from pymysql.constants import CLIENT, CR


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
    """A pymysql connection, for threads and tools, that gives no password away without TLS."""

    def _get_server_information(self) -> None:
        super()._get_server_information()  # type: ignore[misc]
        if self.ssl:
            insist_on_tls(self.server_capabilities)  # type: ignore[attr-defined]
