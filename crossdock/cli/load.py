"""`status`, `report` and `replay`: what became of loads, and another run of one."""

import asyncio
from typing import Annotated, Any

import typer

from crossdock.cli.environment import read_settings, require_schema
from crossdock.cli.errors import NotFound, WrongUsage
from crossdock.cli.ledger_view import describe_load, latest_report, list_loads
from crossdock.cli.letters import waiting_letters
from crossdock.cli.local_bucket import place_of
from crossdock.cli.output import Json, show, show_json
from crossdock.cli.status_tables import render_list, render_load
from services.reporter.render import render_report
from shared.bus.pubsub import PubSubBus
from shared.errors import shown
from shared.events import SUBSCRIPTIONS, Event, StageName, Topic
from shared.ledger.delivery import Delivery, Verdict, decide
from shared.ledger.mysql import Ledger
from shared.ledger.states import Load
from shared.settings import Settings

STAGES: tuple[StageName, ...] = tuple(SUBSCRIPTIONS)

LoadId = Annotated[str, typer.Argument(metavar="LOAD_ID", help="The load's name.")]


def status(
    load_id: Annotated[
        str | None, typer.Argument(metavar="[LOAD_ID]", help="One load, with all its history.")
    ] = None,
    *,
    json: Json = False,
) -> None:
    """List the loads, newest first; or show one: its stages, times, counts and failure."""
    document = asyncio.run(_read_status(read_settings(), load_id))
    if json:
        show_json(document)
    else:
        show(*(render_list(document) if load_id is None else render_load(document)))


def report(load_id: LoadId, *, json: Json = False) -> None:
    """Print the report of the load's latest run that has one."""
    found = asyncio.run(_read_report(read_settings(), load_id))
    if json:
        show_json(found)
    else:
        show(render_report(found))


def replay(
    load_id: LoadId,
    *,
    stage: Annotated[
        str, typer.Option("--from", metavar="STAGE", help=f"One of {', '.join(STAGES)}.")
    ],
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Kept in the load's history.")
    ] = None,
) -> None:
    """Publish the message that reruns a load from a stage on."""
    if stage not in STAGES:
        raise WrongUsage(f"--from {stage!r}: the stages are {', '.join(STAGES)}")
    topic = asyncio.run(_publish_replay(read_settings(), load_id, stage, reason))
    show(
        f"published on {topic}: {load_id} runs again from the {stage} on",
        f"Follow it with `crossdock status {load_id}`.",
    )


def why_no_replay(load: Load, stage: StageName, bucket: str) -> str | None:
    """Why a stage would not rerun this load, and what to do instead; None if it would."""
    place = place_of(load.bucket)
    if place is not None:
        return (
            f"load {load.load_id} was taken from {place}, which no service reads; "
            "run `crossdock run` on it there"
        )
    if load.bucket != bucket:
        return (
            f"load {load.load_id} lies in the bucket {load.bucket}, but these settings are for "
            f"{bucket}; set CROSSDOCK_BUCKET={load.bucket}"
        )
    event = Event(load_id=load.load_id)
    possible = [
        name
        for name in STAGES
        if decide(Delivery(name, event, bucket), load, load.attempts) is Verdict.REPLAY
    ]
    if stage in possible:
        return None
    if not possible:
        return (
            f"the manifest of {load.load_id} never passed its checks, so there is nothing to "
            "replay; the partner must send a corrected drop"
        )
    return (
        f"load {load.load_id} never came as far as the {stage}; it can be replayed from "
        f"{', '.join(possible)}"
    )


def topic_of_replay(load: Load, stage: StageName) -> Topic:
    """The topic whose message reruns the stage; the reporter has one for each ending."""
    if stage == "reporter" and load.failed_run == load.run:
        return Topic.FAILED
    return SUBSCRIPTIONS[stage][0]


async def _read_status(settings: Settings, load_id: str | None) -> dict[str, Any]:
    await require_schema(settings.mysql_url)
    if load_id is None:
        waiting = await waiting_letters(settings.mysql_url)
        return {
            **await list_loads(settings.mysql_url),
            "letters_waiting": waiting.total,
            "letters_undelivered": len(waiting.undelivered),
        }
    return await describe_load(settings.mysql_url, load_id)


async def _read_report(settings: Settings, load_id: str) -> dict[str, Any]:
    await require_schema(settings.mysql_url)
    found = await latest_report(settings.mysql_url, load_id)
    if found is None:
        load = await describe_load(settings.mysql_url, load_id)
        raise NotFound(
            f"load {load_id} has no report yet, its state is {load['state']}; "
            f"`crossdock status {load_id}` shows how far it is"
        )
    return found


async def _publish_replay(
    settings: Settings, load_id: str, stage: StageName, reason: str | None
) -> Topic:
    await require_schema(settings.mysql_url)
    load = await Ledger(settings).read(load_id)
    if load is None:
        raise NotFound(
            f"there is no load {shown(load_id)}; `crossdock status` lists those that are known"
        )
    refusal = why_no_replay(load, stage, settings.bucket)
    if refusal is not None:
        raise WrongUsage(refusal)
    topic = topic_of_replay(load, stage)
    event = Event(load_id=load_id, reason=reason)
    bus = PubSubBus(settings.project)
    try:
        await bus.publish(topic, event.body(), event.attributes())
    finally:
        await bus.close()
    return topic
