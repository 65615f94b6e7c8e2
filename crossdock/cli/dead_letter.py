"""`dead-letter`: what no stage could take and what belongs to no load, seen and published again."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from crossdock.cli.environment import read_settings, require_schema
from crossdock.cli.errors import NotFound, WrongUsage
from crossdock.cli.letters import list_letters, redrive, waiting_letters
from crossdock.cli.output import Json, short_time, show, show_json, table_of
from services.reporter.render import as_text
from shared.bus.pubsub import PubSubBus
from shared.letters import DAYS_OF_WAITING, Standing
from shared.settings import Settings
from shared.waiting_letters import WaitingLetters

dead_letter = typer.Typer(
    add_completion=False,
    help="Show what no stage could take and what belongs to no load; publish it again.",
    no_args_is_help=True,
)


@dead_letter.command("list")
def show_letters(*, json: Json = False) -> None:
    """List the letters, the newest first, each with the reason why it was not taken."""
    document = asyncio.run(_read(read_settings()))
    if json:
        show_json(document)
    else:
        show(_render(document))


@dead_letter.command("redrive")
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
    waiting = await waiting_letters(settings.mysql_url)
    numbers = waiting.undelivered if named is None else named
    if not numbers:
        show(_why_none(waiting))
        return
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


def _why_none(waiting: WaitingLetters) -> str:
    if not waiting.others:
        return "no letter waits"
    return (
        f"none that --all can publish; {waiting.others} of other kinds, see "
        "`crossdock dead-letter list`"
    )


def _render(document: Mapping[str, Any]) -> RenderableType:
    letters = document["letters"]
    if not letters:
        return as_text("no letters")
    rows = [
        (
            str(letter["letter"]),
            as_text(short_time(letter["last_seen"])),
            as_text(_in_words(letter)),
            as_text(letter["reason"]),
        )
        for letter in letters
    ]
    table = table_of(("letter", "last seen", "what", "reason"), rows, whole=("letter", "last seen"))
    if len(letters) < document["total"]:
        table.caption = f"the newest {len(letters)} of {document['total']} letters"
    return table


def _in_words(letter: Mapping[str, Any]) -> str:
    """What a letter is, where from, of which load, how often it came, and whether it waits."""
    load = " ".join(filter(None, (letter["load_id"], letter["load_state"])))
    stands = {
        Standing.WAITS: "waits",
        Standing.REDRIVEN: f"redriven {short_time(letter['redriven_at'])}",
        Standing.OVERTAKEN: "overtaken: its load has gone on",
        Standing.OLD: f"older than {DAYS_OF_WAITING} days",
    }
    facts = (
        letter["kind"],
        letter["source"] and f"from {letter['source']}",
        load and f"load {load}",
        f"{letter['times']} times" if letter["times"] > 1 else "",
        stands[Standing(letter["standing"])],
    )
    return "\n".join(fact for fact in facts if fact)
