"""What a stack needs before its services can work: topics, bucket, accounts, schema, subscriptions.

Safe to repeat, and to be repeated whenever the Pub/Sub emulator comes up again: it keeps nothing.
The local stack calls it; for the containers it is a step of its own, run with the services' URLs:

    python -m crossdock.stack.prepare validator=http://validator:8080 stager=http://stager:8080 …

With `password=…` before these, the URL of the database is its administrator's, and every program's
account is made with this password.
"""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence

from crossdock.stack import storage_emulator, topology
from crossdock.stack.accounts import account_urls, grant_rights, make_accounts
from crossdock.stack.errors import StackError
from infra.mysql.accounts import MIGRATE
from shared.errors import TransientFault
from shared.events import SUBSCRIPTIONS
from shared.mysql.migrate import SchemaError, migrate
from shared.settings import Settings, SettingsError, load_settings

PASSWORD = "password"  # noqa: S105 - the name of an argument


def prepare(
    settings: Settings,
    pubsub_host: str,
    storage_url: str,
    urls: Mapping[str, str],
    accounts: Mapping[str, str] | None = None,
) -> int:
    """Make what is not there yet, and point the push subscriptions at the services.

    Not to be called in an event loop: the schema is migrated in one of its own.

    Args:
        settings: which database, project and bucket.
        pubsub_host: the Pub/Sub emulator, `host:port`.
        storage_url: the storage emulator, `http://host:port`.
        urls: every service's base URL by its name.
        accounts: the database's URL under each program's account, which are made if it is given;
            the settings' own account is then the administrator's.

    Returns:
        How many changes the schema took; 0 if it was current.

    Raises:
        StackError: an emulator refused or does not answer, or accounts cannot be made.
        TransientFault: the database is unreachable.
        SchemaError: a migration was changed after it had been applied.
    """
    # Topics come before the bucket: the storage emulator tells of an upload once, or never.
    topology.create_topics(pubsub_host, settings.project)
    storage_emulator.create_bucket(storage_url, settings.bucket, settings.project)
    if accounts is None:
        applied = asyncio.run(migrate(settings.mysql_url))
    else:
        make_accounts(settings.mysql_url, accounts)
        applied = asyncio.run(migrate(accounts[MIGRATE]))
        grant_rights(settings.mysql_url, accounts)
    topology.subscribe_services(pubsub_host, settings.project, urls)
    return len(applied)


def read_urls(arguments: Sequence[str]) -> dict[str, str]:
    """The services' URLs, out of arguments of the form `SERVICE=URL`.

    Raises:
        StackError: they are not one of each service.
    """
    urls = dict(argument.partition("=")[::2] for argument in arguments)
    if set(urls) != set(SUBSCRIPTIONS) or not all(urls.values()):
        wanted = " ".join(f"{name}=http://…" for name in SUBSCRIPTIONS)
        raise StackError(f"a URL is wanted for every service: {wanted}")
    return urls


def emulators() -> tuple[str, str]:
    """The Pub/Sub emulator's `host:port` and the storage emulator's URL, as the environment has it.

    Raises:
        StackError: one is not set; a real project is not prepared like this.
    """
    pubsub, storage = (
        os.environ.get("PUBSUB_EMULATOR_HOST"),
        os.environ.get("STORAGE_EMULATOR_HOST"),
    )
    if not pubsub or not storage:
        raise StackError("PUBSUB_EMULATOR_HOST and STORAGE_EMULATOR_HOST must name the emulators")
    return pubsub, storage


def _password(arguments: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    """The accounts' password, if the first argument is one, and the arguments after it."""
    name, _, value = arguments[0].partition("=") if arguments else ("", "", "")
    return (value, arguments[1:]) if name == PASSWORD else (None, arguments)


def main(arguments: Sequence[str]) -> int:
    """Prepare the stack that the environment names, and say so."""
    try:
        settings = load_settings()
        password, urls = _password(arguments)
        accounts = account_urls(settings.mysql_url, password) if password else None
        changes = prepare(settings, *emulators(), read_urls(urls), accounts)
    except (StackError, TransientFault, SchemaError, SettingsError) as error:
        sys.stderr.write(f"prepare: {error}\n")
        return 1
    schema = f"{changes} changes to the schema" if changes else "the schema was current"
    sys.stderr.write(f"prepare: topics, subscriptions and {settings.bucket} are there; {schema}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
