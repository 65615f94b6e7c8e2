"""What a stack needs before its services can work: topics, bucket, schema, subscriptions.

Safe to repeat, and to be repeated whenever the Pub/Sub emulator comes up again: it keeps nothing.
The local stack calls it; for the containers it is a step of its own, run with the services' URLs:

    python -m crossdock.stack.prepare validator=http://validator:8080 stager=http://stager:8080 …
"""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence

from crossdock.stack import storage_emulator, topology
from crossdock.stack.errors import StackError
from shared.errors import TransientFault
from shared.events import SUBSCRIPTIONS
from shared.mysql.migrate import SchemaError, migrate
from shared.settings import Settings, SettingsError, load_settings


def prepare(settings: Settings, pubsub_host: str, storage_url: str, urls: Mapping[str, str]) -> int:
    """Make what is not there yet, and point the push subscriptions at the services.

    Not to be called in an event loop: the schema is migrated in one of its own.

    Args:
        settings: which database, project and bucket.
        pubsub_host: the Pub/Sub emulator, `host:port`.
        storage_url: the storage emulator, `http://host:port`.
        urls: every service's base URL by its name.

    Returns:
        How many changes the schema took; 0 if it was current.

    Raises:
        StackError: an emulator refused or does not answer.
        TransientFault: the database is unreachable.
        SchemaError: a migration was changed after it had been applied.
    """
    # Topics come before the bucket: the storage emulator tells of an upload once, or never.
    topology.create_topics(pubsub_host, settings.project)
    storage_emulator.create_bucket(storage_url, settings.bucket, settings.project)
    applied = asyncio.run(migrate(settings.mysql_url))
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


def main(arguments: Sequence[str]) -> int:
    """Prepare the stack that the environment names, and say so."""
    try:
        settings = load_settings()
        changes = prepare(settings, *emulators(), read_urls(arguments))
    except (StackError, TransientFault, SchemaError, SettingsError) as error:
        sys.stderr.write(f"prepare: {error}\n")
        return 1
    schema = f"{changes} changes to the schema" if changes else "the schema was current"
    sys.stderr.write(f"prepare: topics, subscriptions and {settings.bucket} are there; {schema}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
