"""What the ledger knows, as the JSON documents of `status` and `report`; tables come from these."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from crossdock.cli.errors import NotFound
from crossdock.cli.local_bucket import place_of
from services.reporter.partner_view import REJECTS_NAME, ack_folder
from services.reporter.render import harmless
from shared.contracts.model import contracts
from shared.errors import Failure, shown
from shared.gcs_notification import Arrival
from shared.ledger.states import State
from shared.manifest import is_load_id
from shared.mysql.connect import Database, Row, connect
from shared.mysql.queries import load_queries
from shared.notices import failure_as_told, run_that_stands, verdict_on_replay

SQL = load_queries("crossdock.cli", "status.sql")
MOST_LOADS = 100
MOST_REFUSED = 20
MOST_HISTORY_LINES = 200
# What came in the name of a load that does not exist: enough to find who sent it.
MOST_LINES_OF_NO_LOAD = 20
# The history has no index by kind: a look at so many lines takes a moment, however long it grows.
MOST_LINES_SEARCHED = 100_000

Document = dict[str, Any]


async def list_loads(mysql_url: str) -> Document:
    """The loads that want a look, then the newest, with how many there are in each state.

    Beside them the newest refused manifests, dead channels, and what came for no load.

    Raises:
        TransientFault: the database did not answer.
    """
    async with connect(mysql_url) as database:
        loads = await database.fetch_all(SQL["list_loads"], {"most": MOST_LOADS})
        refused = await database.fetch_all(SQL["list_refused"], {"most": MOST_REFUSED})
        dead = await database.fetch_all(SQL["list_dead_channels"])
        counted = await database.fetch_all(SQL["count_loads"])
        unknown = await database.fetch_value(
            SQL["count_messages_for_unknown_loads"], {"most": MOST_LINES_SEARCHED}
        )
    states = {row["state"]: row["loads"] for row in counted}
    total = sum(states.values())
    return {
        "total": total,
        "states": {state.value: states.get(state.value, 0) for state in State},
        "needs_attention": sum(int(row["needing_attention"]) for row in counted),
        "not_shown": total - len(loads),
        "loads": [load_document(row) for row in loads],
        "refused": [arrival_document(row) for row in refused],
        "dead_channels": [_channel_document(row) for row in dead],
        "messages_for_unknown_loads": int(unknown),
    }


async def describe_load(mysql_url: str, load_id: str) -> Document:
    """All that is known of one load.

    Raises:
        NotFound: there is no such load.
        TransientFault: the database did not answer.
    """
    key = {"load_id": load_id}
    async with connect(mysql_url) as database:
        can_be_one = is_load_id(load_id)
        row = await database.fetch_one(SQL["read_load"], key) if can_be_one else None
        arrivals = await database.fetch_all(SQL["list_arrivals"], key) if can_be_one else []
        if row is None:
            most = {**key, "most": MOST_LINES_OF_NO_LOAD}
            lines = (
                await database.fetch_all(SQL["list_history"], most) if load_id.isprintable() else []
            )
            raise NotFound(_why_unknown(load_id, arrivals, lines))
        milestones = await database.fetch_all(SQL["list_milestones"], key)
        run = {**key, "run": row["validated_run"]}
        files = await database.fetch_all(SQL["list_files"], run)
        counts = await database.fetch_all(SQL["list_counts"], key)
        rejected_rows = await _rejected_rows(database, row, counts)
        history = await database.fetch_all(SQL["list_history"], {**key, "most": MOST_HISTORY_LINES})
    contract = contracts().get(row["schema_version"] or "")
    order = [entity.name for entity in contract.entities] if contract else []
    files = sorted(files, key=lambda line: order.index(line["entity"]))
    counts = sorted(counts, key=lambda line: order.index(line["entity"]))
    return {
        **load_document(row),
        "warnings": json.loads(row["warnings"] or "[]"),
        "milestones": [_milestone(line) for line in milestones],
        "files": [_file(line) for line in files],
        "counts": {line["entity"]: _counts(line) for line in counts},
        "rejected_rows": rejected_rows,
        "arrivals": [arrival_document(line) for line in arrivals],
        "history": [_history_line(line) for line in reversed(history)],
    }


async def _rejected_rows(database: Database, load: Row, counts: Sequence[Row]) -> Document:
    """The rejected rows of the run that was counted last, and the object that lists them."""
    if not any(line["rejected"] for line in counts):
        return {"by_code": {}, "file": None}
    run = counts[0]["run"]
    rows = await database.fetch_all(SQL["count_rejects"], {"load_id": load["load_id"], "run": run})
    of_failed_replay = load["failed_run"] == run and load["applied_run"] is not None
    has_ack = not of_failed_replay and place_of(load["bucket"]) is None
    file = ack_folder(load["partner"], load["load_id"]) + REJECTS_NAME
    return {
        "by_code": {row["code"]: row["kept"] for row in rows},
        "file": file if has_ack else None,
    }


async def latest_report(mysql_url: str, load_id: str) -> Document | None:
    """The report of the load's newest run that has one.

    Raises:
        TransientFault: the database did not answer.
    """
    if not is_load_id(load_id):
        return None
    async with connect(mysql_url) as database:
        text = await database.fetch_value(SQL["latest_report"], {"load_id": load_id})
    if text is None:
        return None
    report: Document = json.loads(text)
    return report


async def read_refusal(mysql_url: str, arrival: Arrival) -> Document | None:
    """Why a manifest was refused, or None where it was not.

    Raises:
        TransientFault: the database did not answer.
    """
    key = {
        "bucket": arrival.bucket,
        "object": arrival.object_name,
        "generation": arrival.generation,
    }
    async with connect(mysql_url) as database:
        row = await database.fetch_one(SQL["read_arrival"], key)
    return None if row is None else arrival_document(row)["failure"]


async def read_milestones(mysql_url: str, load_id: str) -> list[Document]:
    """The ends of stages so far, in their order.

    Raises:
        TransientFault: the database did not answer.
    """
    async with connect(mysql_url) as database:
        rows = await database.fetch_all(SQL["list_milestones"], {"load_id": load_id})
    return [_milestone(row) for row in rows]


def load_document(row: Row) -> Document:
    """One load as a list shows it; a lease that has run out is none."""
    leased = row["lease_until"] is not None and row["lease_until"] > row["now"]
    lease = {"owner": row["lease_owner"], "until": time_text(row["lease_until"])}
    return {
        "load_id": row["load_id"],
        "source_system": row["source_system"],
        "partner": row["partner"],
        "bucket": row["bucket"],
        "folder": row["prefix"],
        "state": row["state"],
        "run": row["run"],
        "applied_run": row["applied_run"],
        "lease": lease if leased else None,
        "attempts": row["attempts"],
        "last_error": row["last_error"],
        "next_attempt_at": time_text(row["next_attempt_at"]),
        "needs_attention": bool(row["needs_attention"]),
        "reconciled": None if row["reconciled"] is None else bool(row["reconciled"]),
        "waiting_since": time_text(row["waiting_since"]),
        "failure": _failure(row) if row["failed_run"] == row["run"] else None,
        "schema_version": row["schema_version"],
        "created_at": time_text(row["created_at"]),
        "received_at": time_text(row["received_at"]),
        "started_at": time_text(row["started_at"]),
        "updated_at": time_text(row["updated_at"]),
    }


def arrival_document(row: Row) -> Document:
    """One manifest that arrived; why, where it was refused."""
    refused = row["verdict"] == "refused" and row["failure_code"] is not None
    failure = Failure.of(row["failure_code"], row["failure_message"]) if refused else None
    return {
        "bucket": row["bucket"],
        "object": row["object"],
        "generation": str(row["generation"]),
        "load_id": row["load_id"],
        "verdict": row["verdict"],
        "failure": failure.to_json() if failure else None,
        "noticed_at": time_text(row["noticed_at"]),
    }


def _channel_document(row: Row) -> Document:
    return {
        "channel": row["channel"],
        "notices": row["notices"],
        "since": time_text(row["since"]),
        "last_error": row["last_error"],
    }


def situation(load: Mapping[str, Any]) -> str:
    """What holds a load where it stands, in a few words; empty where nothing does."""
    if load["needs_attention"]:
        return f"needs attention after {load['attempts']} attempts: {load['last_error']}"
    if load["lease"] is not None:
        return f"held by {load['lease']['owner']} until {load['lease']['until']}"
    if load["waiting_since"] is not None:
        return f"waits for an older load since {load['waiting_since']}"
    if load["next_attempt_at"] is not None:
        error = load["last_error"] or "waits for its turn"
        return f"attempt {load['attempts'] + 1} at {load['next_attempt_at']}: {error}"
    if load["failure"] is not None:
        standing, code = run_that_stands(load), str(load["failure"]["code"])
        return code if standing is None else f"{verdict_on_replay(standing)}: {code}"
    return "does not reconcile: see its report" if load["reconciled"] is False else ""


def _why_unknown(load_id: str, arrivals: Sequence[Row], lines: Sequence[Row]) -> str:
    refused = [arrival_document(row)["failure"] for row in arrivals]
    failure = next((one for one in reversed(refused) if one is not None), None)
    if failure is None:
        why = f"there is no load {shown(load_id)}; `crossdock status` lists those that are known"
    else:
        why = (
            f"there is no load {load_id!r}: its manifest was refused, {failure['code']}: "
            f"{failure['message']}\nWhat to do: {failure['remedy']}"
        )
    came = [_line_of_no_load(_history_line(line)) for line in reversed(lines)]
    return "\n".join([why, *(["What came in its name:"] if came else []), *came])


def _line_of_no_load(line: Document) -> str:
    facts = (line["at"], line["stage"], line["kind"], line["detail"] and harmless(line["detail"]))
    return "  " + "  ".join(fact for fact in facts if fact)


def _failure(row: Row) -> Document:
    failure = Failure.of(
        row["failure_code"],
        row["failure_message"],
        file=row["failure_file"],
        row=row["failure_row"],
        column=row["failure_column"],
    )
    return failure_as_told(failure, row["applied_run"]).to_json()


def _milestone(row: Row) -> Document:
    return {
        "stage": row["stage"],
        "run": row["run"],
        "outcome": row["kind"],
        "at": time_text(row["happened_at"]),
    }


def _file(row: Row) -> Document:
    return {
        "name": row["name"],
        "rows": row["row_count"],
        "sha256": row["sha256"],
        "bytes": row["size_bytes"],
        "generation": str(row["generation"]),
    }


def _counts(row: Row) -> Document:
    names = ("staged", "inserted", "updated", "unchanged", "stale", "rejected")
    return {name: row[name] for name in names}


def _history_line(row: Row) -> Document:
    return {
        "at": time_text(row["happened_at"]),
        "run": row["run"],
        "stage": row["stage"],
        "kind": row["kind"],
        "detail": row["detail"],
    }


def time_text(moment: datetime | None) -> str | None:
    """A time of the database, which is UTC, as documents show it."""
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
