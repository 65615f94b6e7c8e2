"""`run`: all four stages in this one process, on a folder of this machine or of a bucket."""

import asyncio
import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from crossdock import offline_check
from crossdock.cli.drop import PartnerName, show_verdict
from crossdock.cli.environment import read_settings, require_schema, use_running_stack
from crossdock.cli.errors import ExitCode, NotFound, WrongUsage
from crossdock.cli.ledger_view import latest_report, read_refusal
from crossdock.cli.local_bucket import bucket_of
from crossdock.cli.output import Json, Progress, progress, show, show_json
from crossdock.pipeline import Ending, Followed, run_arrival
from services.reporter.render import render_report
from shared.bus.memory import MemoryBus
from shared.clock import now
from shared.errors import Failure, TransientFault
from shared.gcs_notification import Arrival, arrival_of
from shared.ledger.arrivals import ArrivalVerdict, ManifestFacts, decide_arrival
from shared.ledger.mysql import Ledger
from shared.ledger.states import Load
from shared.manifest import MANIFEST_NAME
from shared.partners import load_partners
from shared.settings import Settings
from shared.stage import Parts
from shared.storage.directory import DirectoryStorage
from shared.storage.port import Storage
from shared.telemetry.start import start_telemetry

_IN_BUCKET = re.compile(r"gs://(?P<bucket>[^/]+)/(?P<folder>imports/[^/]+/[^/]+)/?")
# The ledger's columns for a bucket's and a folder's name.
_LONGEST_NAME = 255


def run(
    drop: Annotated[
        str, typer.Argument(metavar="DIR", help="A folder, or gs://BUCKET/imports/P/LOAD_ID/.")
    ],
    *,
    partner: PartnerName = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Take a drop through all four stages in this process; only MySQL is needed."""
    if drop.startswith("gs://"):
        if dry_run or partner:
            raise WrongUsage("--dry-run and --partner are for a folder of this machine")
        start_telemetry("run")
        report = _run_in_bucket(drop)
    else:
        place = offline_check.locate(Path(drop), partner)
        if dry_run:
            _foretell(place, json=json)
            return
        start_telemetry("run")
        report = run_local(place, read_settings(missing_file_grace_seconds=0), progress())
    if json:
        show_json(report)
    else:
        show(render_report(report))
    raise typer.Exit(exit_code_of(report))


def run_local(drop: offline_check.DropFolder, settings: Settings, say: Progress) -> dict[str, Any]:
    """Take a drop of this machine to its end and return its report.

    Raises:
        TransientFault: a part did not answer, or another process has the load in hand.
        WrongUsage: the folder's path is too long for the ledger.
    """
    bucket = bucket_of(drop.directory)
    if len(bucket) > _LONGEST_NAME:
        raise WrongUsage(f"the path {drop.directory} is too long for the ledger; move the drop")
    storage = DirectoryStorage.mounting(drop.directory, drop.prefix, bucket=bucket)
    return asyncio.run(_run(storage, drop.prefix, settings, say))


def exit_code_of(report: Mapping[str, Any]) -> ExitCode:
    """What a script is told of a load that came to its end."""
    if report["failure"] is not None:
        return ExitCode.REJECTED
    return ExitCode.DONE if report["reconciled"] else ExitCode.MISMATCH


def _run_in_bucket(drop: str) -> dict[str, Any]:
    # Its packages take half a second to import, and a folder of this machine needs none of them.
    from shared.storage.gcs import GcsStorage  # noqa: PLC0415

    match = _IN_BUCKET.fullmatch(drop)
    if match is None:
        raise WrongUsage(f"{drop!r} is no drop; the form is gs://BUCKET/imports/PARTNER/LOAD_ID/")
    use_running_stack(bucket=match["bucket"])
    settings = read_settings()
    storage = GcsStorage.connect(settings.bucket, settings.project)
    return asyncio.run(_run(storage, f"{match['folder']}/", settings, progress()))


async def _run(storage: Storage, prefix: str, settings: Settings, say: Progress) -> dict[str, Any]:
    bus = MemoryBus()
    partners = load_partners(settings.partners_file)
    parts = Parts(settings, storage, bus, Ledger(settings), partners)
    try:
        await require_schema(settings.mysql_url)
        arrival = await _arrival(storage, prefix)
        before = await parts.ledger.read(arrival.load_id)
        followed = await run_arrival(arrival, parts, bus, progress=say)
        report = await _report_of(arrival, followed, settings.mysql_url)
        if before is not None and followed.load is not None and before.run == followed.load.run:
            _say_where_it_stood(before)
        return report
    finally:
        await storage.close()


def _say_where_it_stood(load: Load) -> None:
    if load.due_topic is None:
        typer.echo(
            f"{load.load_id} was applied before: nothing was done and no file was read; "
            f"this is the report of run {load.run}",
            err=True,
        )


async def _arrival(storage: Storage, prefix: str) -> Arrival:
    manifest = await storage.stat(prefix + MANIFEST_NAME)
    if manifest is None:
        raise NotFound(f"{storage.bucket}/{prefix} has no {MANIFEST_NAME}")
    arrival = arrival_of(storage.bucket, manifest.name, manifest.generation)
    assert arrival is not None, "the prefix is that of a drop"
    return arrival


async def _report_of(arrival: Arrival, followed: Followed, mysql_url: str) -> dict[str, Any]:
    """The report of a load that was followed to its end, or the refusal in its form.

    Raises:
        TransientFault: it did not come to its end.
    """
    refusal = await read_refusal(mysql_url, arrival)
    if refusal is not None:
        return _refusal_report(arrival, refusal)
    load = followed.load
    match followed.ending:
        case Ending.REPORTED | Ending.FAILED:
            report = await latest_report(mysql_url, arrival.load_id)
            assert report is not None, "a load at its end has a report"
            return report
        case Ending.HELD_ELSEWHERE if load is not None:
            raise TransientFault(_who_holds(load))
        case Ending.NEEDS_ATTENTION if load is not None:
            raise TransientFault(
                f"load {load.load_id} failed {load.attempts} times and waits for a person; "
                f"`crossdock status {load.load_id}` shows the last error"
            )
        case _:
            raise TransientFault(f"{arrival.object_name} was replaced while it was read; run again")


def _who_holds(load: Load) -> str:
    place = f"load {load.load_id} is under way from {load.bucket}, state {load.state.value}"
    if not load.leased:
        return f"{place}; let it end there, or run it there again"
    until = f"{load.lease_until:%H:%M:%S} UTC"
    return f"{place}, held by {load.lease_owner} until {until} unless renewed; run again later"


def _refusal_report(arrival: Arrival, failure: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest that became no run of any load, told like one: what is unknown is null."""
    unknown = ("source_system", "run", "applied_run", "schema_version", "manifest_sha256")
    return {
        "load_id": arrival.load_id,
        **dict.fromkeys((*unknown, "started_at", "finished_at")),
        "state": ArrivalVerdict.REFUSED.value,
        "reconciled": False,
        "entities": {},
        "rejected_rows": {"by_code": {}, "file": None},
        "failure": failure,
        "files": [],
        "warnings": [],
    }


def foretell(facts: ManifestFacts, load: Load | None, bucket: str) -> str | Failure:
    """What a run of a drop would do to its load as it stands, or why it would be rejected."""
    decision = decide_arrival(facts, load)
    failure = decision.failure or facts.failure
    match decision.verdict:
        case ArrivalVerdict.HISTORY:
            return "do nothing: this very load was applied, and its report is shown"
        case ArrivalVerdict.PENDING if load is not None and load.bucket == bucket:
            return f"go on where run {load.run} stands: {load.state.value}"
        case ArrivalVerdict.PENDING if load is not None:
            return f"do nothing: {_who_holds(load)}"
        case _ if failure is not None:
            return failure
        case _:
            run = 1 if load is None else load.run + 1
            return f"begin run {run} of the load"


def _foretell(drop: offline_check.DropFolder, *, json: bool) -> None:
    settings = read_settings(missing_file_grace_seconds=0)
    partners = load_partners(settings.partners_file)
    checked = offline_check.check(
        drop.directory, partner=drop.partner, partners=partners, now=now()
    )
    manifest_sha256 = hashlib.sha256((drop.directory / MANIFEST_NAME).read_bytes()).hexdigest()
    facts = ManifestFacts(drop.load_id, drop.partner, manifest_sha256, checked.failure)
    load = asyncio.run(_read_load(drop.load_id, settings))
    foretold = foretell(facts, load, bucket_of(drop.directory))
    if isinstance(foretold, Failure):
        checked = replace(checked, failure=foretold)
    if json:
        would = None if isinstance(foretold, Failure) else foretold
        show_json({**checked.to_json(), "would": would})
    else:
        show_verdict(checked)
        if isinstance(foretold, str):
            show(f"a run would {foretold}")
    if isinstance(foretold, Failure):
        raise typer.Exit(ExitCode.REJECTED)


async def _read_load(load_id: str, settings: Settings) -> Load | None:
    await require_schema(settings.mysql_url)
    return await Ledger(settings).read(load_id)
