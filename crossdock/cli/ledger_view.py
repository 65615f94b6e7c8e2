"""What the ledger knows, as the JSON documents of `status` and `report`; tables come from these."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from crossdock.cli.errors import NotFound
from shared.contracts.model import contracts
from shared.errors import Failure, shown
from shared.gcs_notification import Arrival
from shared.letters import DAYS_LETTERS_WAIT
from shared.manifest import is_load_id
from shared.mysql.connect import Row, connect
from shared.mysql.queries import load_queries

SQL = load_queries("crossdock.cli", "status.sql")
MOST_LOADS = 100
MOST_REFUSED = 20
MOST_HISTORY_LINES = 200

Document = dict[str, Any]


async def list_loads(mysql_url: str) -> Document:
    """The newest loads and refused manifests, the channels that are dead, how many letters wait.

    Raises:
        TransientFault: the database did not answer.
    """
    async with connect(mysql_url) as database:
        loads = await database.fetch_all(SQL["list_loads"], {"most": MOST_LOADS})
        refused = await database.fetch_all(SQL["list_refused"], {"most": MOST_REFUSED})
        dead = await database.fetch_all(SQL["list_dead_channels"])
        total = await database.fetch_value(SQL["count_loads"])
        letters = await database.fetch_value(SQL["count_letters"], {"days": DAYS_LETTERS_WAIT})
    return {
        "total": total,
        "loads": [load_document(row) for row in loads],
        "refused": [arrival_document(row) for row in refused],
        "dead_channels": [_channel_document(row) for row in dead],
        "letters_waiting": int(letters),
    }


async def describe_load(mysql_url: str, load_id: str) -> Document:
    """All that is known of one load.

    Raises:
        NotFound: there is no such load.
        TransientFault: the database did not answer.
    """
    if not is_load_id(load_id):
        raise NotFound(_why_unknown(load_id, ()))
    key = {"load_id": load_id}
    async with connect(mysql_url) as database:
        row = await database.fetch_one(SQL["read_load"], key)
        arrivals = await database.fetch_all(SQL["list_arrivals"], key)
        if row is None:
            raise NotFound(_why_unknown(load_id, arrivals))
        milestones = await database.fetch_all(SQL["list_milestones"], key)
        run = {**key, "run": row["validated_run"]}
        files = await database.fetch_all(SQL["list_files"], run)
        counts = await database.fetch_all(SQL["list_counts"], key)
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
        "arrivals": [arrival_document(line) for line in arrivals],
        "history": [_history_line(line) for line in reversed(history)],
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
        return str(load["failure"]["code"])
    return "does not reconcile: see its report" if load["reconciled"] is False else ""


def _why_unknown(load_id: str, arrivals: Sequence[Row]) -> str:
    refused = [arrival_document(row)["failure"] for row in arrivals]
    failure = next((one for one in reversed(refused) if one is not None), None)
    if failure is None:
        return f"there is no load {shown(load_id)}; `crossdock status` lists those that are known"
    return (
        f"there is no load {load_id!r}: its manifest was refused, {failure['code']}: "
        f"{failure['message']}\nWhat to do: {failure['remedy']}"
    )


def _failure(row: Row) -> Document:
    return Failure.of(
        row["failure_code"],
        row["failure_message"],
        file=row["failure_file"],
        row=row["failure_row"],
        column=row["failure_column"],
    ).to_json()


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
