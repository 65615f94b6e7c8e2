"""`dead-letter`: what no stage could take and what belongs to no load, seen and published again."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Column, Table

from crossdock.cli.environment import read_settings, require_schema
from crossdock.cli.errors import NotFound, WrongUsage
from crossdock.cli.letters import list_letters, redrive, waiting_letters
from crossdock.cli.output import show, show_json
from crossdock.cli.stack import Json
from services.reporter.render import as_text
from shared.bus.pubsub import PubSubBus
from shared.settings import Settings

commands = typer.Typer(
    help="Show what no stage could take and what belongs to no load; publish it again.",
    no_args_is_help=True,
)


@commands.command("list")
def show_letters(*, json: Json = False) -> None:
    """List the letters, the newest first, each with the reason why it was not taken."""
    document = asyncio.run(_read(read_settings()))
    if json:
        show_json(document)
    else:
        show(_render(document))


@commands.command("redrive")
def redrive_letters(
    letters: Annotated[
        list[int] | None, typer.Argument(metavar="LETTER", help="Numbers out of the list.")
    ] = None,
    *,
    every: Annotated[
        bool, typer.Option("--all", help="All that were undelivered and still wait.")
    ] = False,
) -> None:
    """Publish letters again, each on the topic that it came from."""
    if bool(letters) is every:
        raise WrongUsage("name letters by their numbers, or --all: `crossdock dead-letter list`")
    asyncio.run(_redrive(read_settings(), letters or None))


async def _read(settings: Settings) -> dict[str, Any]:
    await require_schema(settings.mysql_url)
    return await list_letters(settings.mysql_url)


async def _redrive(settings: Settings, named: Sequence[int] | None) -> None:
    """Publish the letters that were named, or all that wait.

    Raises:
        NotFound: there is no letter of a number that was named.
        WrongUsage: one that was named cannot be published; those before it were.
        TransientFault: the database or Pub/Sub did not answer; those before it were published.
    """
    await require_schema(settings.mysql_url)
    numbers = await waiting_letters(settings.mysql_url) if named is None else named
    bus = PubSubBus(settings.project)
    try:
        for number in numbers:
            outcome = await redrive(number, settings.mysql_url, bus)
            if outcome is None:
                raise NotFound(f"there is no letter {number}; `crossdock dead-letter list` has all")
            if outcome.why_not is None:
                show(f"letter {number}: published on {outcome.topic}")
            elif named is None:
                show(f"letter {number}: left, {outcome.why_not}")
            else:
                raise WrongUsage(f"letter {number} is not published: {outcome.why_not}")
    finally:
        await bus.close()
    if not numbers:
        show("no letter waits")


def _render(document: Mapping[str, Any]) -> RenderableType:
    letters = document["letters"]
    if not letters:
        return as_text("no letters")
    caption = None
    if len(letters) < document["total"]:
        caption = f"the newest {len(letters)} of {document['total']} letters"
    names = ("letter", "last seen", "kind", "from", "load", "times", "redriven")
    table = Table(*names, Column("reason", overflow="fold"), caption=caption)
    for letter in letters:
        load = " ".join(filter(None, (letter["load_id"], letter["load_state"])))
        cells = (
            letter["letter"],
            letter["last_seen"],
            letter["kind"],
            letter["source"],
            load,
            letter["times"],
            letter["redriven_at"],
            letter["reason"],
        )
        table.add_row(*(as_text("" if cell is None else cell) for cell in cells))
    return table
