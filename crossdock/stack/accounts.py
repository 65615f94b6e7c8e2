"""The accounts of a stack of one's own: each of its processes works under the one of its program.

So whatever runs on a developer's machine, or in a test of the whole stack, shows that the rights of
`shared/mysql/rights.toml` are enough.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from urllib.parse import urlsplit, urlunsplit

import pymysql

from crossdock.stack.errors import StackError
from infra.mysql.accounts import PREFIX, PROGRAMS, grant_statements, user_statements
from shared.errors import TransientFault
from shared.mysql.connect import MySQLAddress, connect
from shared.mysql.own_rights import missing_rights
from shared.mysql.rights import accounts
from shared.mysql.tls import BlockingConnection


def account_urls(admin_url: str, password: str | None = None) -> dict[str, str]:
    """The database's URL under each program's account, by the program's name.

    Args:
        admin_url: the same under its administrator.
        password: one for all accounts; without it each has its own, which only the administrator's
            password leads to.
    """
    parts = urlsplit(admin_url)
    key = MySQLAddress.parse(admin_url).password.encode()[: hashlib.blake2b.MAX_KEY_SIZE]
    host = parts.netloc.rpartition("@")[2]

    def url(program: str) -> str:
        own = hashlib.blake2b(program.encode(), key=key, digest_size=16).hexdigest()
        return urlunsplit(parts._replace(netloc=f"{PREFIX}_{program}:{password or own}@{host}"))

    return {program: url(program) for program in PROGRAMS}


def make_accounts(admin_url: str, urls: Mapping[str, str]) -> None:
    """Make the accounts of these URLs, or give those that are there these passwords.

    Raises:
        StackError: the administrator may not.
    """
    addresses = [MySQLAddress.parse(url) for url in urls.values()]
    passwords = [
        f"ALTER USER '{address.user}'@'%' IDENTIFIED BY '{address.password}'"
        for address in addresses
    ]
    _execute(admin_url, [*user_statements(addresses[0].database), *passwords])


def grant_rights(admin_url: str, urls: Mapping[str, str]) -> None:
    """Give the accounts their rights on the tables that there are now, if any lacks one.

    A grant waits for whoever has locked its table; so what is there is left alone. Not to be called
    in an event loop.

    Raises:
        StackError: the administrator may not.
        TransientFault: the database is unreachable.
    """
    if asyncio.run(_is_any_missing(urls)):
        _execute(admin_url, grant_statements(MySQLAddress.parse(admin_url).database))


async def _is_any_missing(urls: Mapping[str, str]) -> bool:
    for account in accounts():
        try:
            async with connect(urls[account], program_name="crossdock:rights") as database:
                if await missing_rights(database, account):
                    return True
        except TransientFault:  # an account without any right is not let in
            return True
    return False


def _execute(admin_url: str, statements: Sequence[str]) -> None:
    address = MySQLAddress.parse(admin_url)
    try:
        with (
            closing(BlockingConnection(**address.arguments(), autocommit=True)) as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)
    except pymysql.MySQLError as error:
        raise StackError(f"the accounts of the database cannot be made: {error}") from error
