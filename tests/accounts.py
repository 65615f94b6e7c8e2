"""A database with an account for each program, made as docs/operations/accounts.md says."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

from crossdock.stack import mysql_server
from infra.mysql.accounts import MIGRATE, grant_statements, user_statements
from shared.mysql.connect import MySQLAddress
from shared.mysql.migrate import migrate
from shared.mysql.tls import BlockingConnection


@dataclass(frozen=True)
class Accounts:
    """The URLs of one database.

    Attributes:
        admin: its administrator's.
        urls: those of the programs' accounts, by program.
        prefix: how the accounts' names begin.
    """

    admin: str
    urls: Mapping[str, str]
    prefix: str

    def name(self, program: str) -> str:
        """An account as SQL wants it."""
        return f"'{self.prefix}_{program}'@'%'"

    @contextmanager
    def connected(self, program: str) -> Iterator[BlockingConnection]:
        """A connection under a program's account, for one statement after the other."""
        address = MySQLAddress.parse(self.urls[program])
        opened = BlockingConnection(**address.arguments(), autocommit=True)
        with closing(opened):
            yield opened


@contextmanager
def open_accounts(server_url: str) -> Iterator[Accounts]:
    """A new database on the server, and accounts that nobody else has; all of it goes again.

    Not to be called in an event loop: the schema is migrated in one of its own.
    """
    database, prefix = f"granted_{uuid4().hex[:8]}", f"t{uuid4().hex[:8]}"
    url = mysql_server.create_database(server_url, database)
    urls: dict[str, str] = {}
    address = MySQLAddress.parse(url)
    with closing(BlockingConnection(**address.arguments(), autocommit=True)) as admin:
        try:
            for user, password in _run(admin, user_statements(database, prefix)):
                urls[user.removeprefix(f"{prefix}_")] = _url(url, user, password)
            asyncio.run(migrate(urls[MIGRATE]))
            _run(admin, grant_statements(database, prefix))
            yield Accounts(url, urls, prefix)
        finally:
            users = [f"DROP USER '{prefix}_{program}'@'%'" for program in urls]
            _run(admin, [f"DROP DATABASE {database}", *users])


def _run(admin: BlockingConnection, statements: Sequence[str]) -> list[tuple[str, str]]:
    """Run the statements; gives each new account with the password that the server made up."""
    made: list[tuple[str, str]] = []
    with admin.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
            made += [(user, password) for user, _, password, _ in cursor.fetchall()]
    return made


def _url(admin_url: str, user: str, password: str) -> str:
    parts = urlsplit(admin_url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))
