"""What a partner may see of a drop's outcome, and where it is put. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from shared.gcs_notification import Arrival
from shared.manifest import is_load_id

ACK_NAME: Final = "ack.json"
REJECTS_NAME: Final = "rejects.csv"

# Named one by one: what a report gets one day is not a partner's before it is put here.
_REPORT_KEYS: Final = (
    "load_id",
    "source_system",
    "run",
    "state",
    "schema_version",
    "manifest_sha256",
    "started_at",
    "finished_at",
    "reconciled",
    "entities",
    "failure",
    "files",
    "warnings",
)
_LONGEST_SEGMENT: Final = 200


@dataclass(frozen=True, slots=True)
class Told:
    """One run whose outcome was told.

    Attributes:
        run: the run.
        arrival: the manifest that began it, or began the run that it replays.
        begun_run: the run that this manifest began.
        told_again: whether it did no more than tell once more what the run before had come to.
        report: its report.
    """

    run: int
    arrival: Arrival
    begun_run: int
    told_again: bool
    report: Mapping[str, Any]


def run_to_acknowledge(told: Sequence[Told]) -> Told:
    """Of a folder's runs, in their order, the one that its partner's ack tells of.

    The newest manifest counts. Of its runs it is the one that applied the load, whatever a replay
    does later, unless that one's counts were off and a later one's are right; as long as none
    applied it, it is the last that failed.
    """
    newest = max(one.begun_run for one in told)
    runs = [one for one in told if one.begun_run == newest]
    applied = [one for one in runs if one.report["failure"] is None]
    if applied:
        return next((one for one in applied if one.report["reconciled"]), applied[-1])
    return next((one for one in reversed(runs) if not one.told_again), runs[-1])


def ack_of(told: Told, *, listed: int) -> dict[str, Any]:
    """The report of a run as its partner may see it, and whose outcome it is.

    Args:
        told: the run.
        listed: how many of the rejected rows rejects.csv lists.
    """
    rejected = [counts["rejected"] for counts in told.report["entities"].values()]
    known = bool(rejected) and None not in rejected
    return {
        **{key: told.report[key] for key in _REPORT_KEYS},
        "manifest": _manifest(told.arrival.object_name, str(told.arrival.generation)),
        "rejects": {"rejected": sum(rejected) if known else None, "listed": listed},
    }


def refusal_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The same form for a manifest that became no run of any load: what is unknown is null.

    Args:
        body: what the notice of the refusal tells.
    """
    return {
        **dict.fromkeys(_REPORT_KEYS),
        "load_id": body["load_id"],
        "state": "refused",
        "reconciled": False,
        "entities": {},
        "failure": body["failure"],
        "files": [],
        "warnings": [],
        "manifest": _manifest(body["object"], body["generation"]),
        "rejects": {"rejected": None, "listed": 0},
    }


def ack_folder(partner: str, load_id: str) -> str:
    """Where the acks of a drop's folder lie, with a last slash; no name leads out of `acks/`."""
    return f"acks/{_segment(partner)}/{_segment(load_id)}/"


def refusal_name(generation: str) -> str:
    """The name of the ack of one manifest generation that was refused."""
    return f"refused-{generation}.json"


def _manifest(name: str, generation: str) -> dict[str, str]:
    return {"name": name, "generation": generation}


def _segment(name: str) -> str:
    """The name of a folder: a partner's and a load's are made of the same characters.

    One with others is written with %XX in their place, or hashed if it is long.
    """
    if is_load_id(name):
        return name
    quoted = quote(name, safe="").replace(".", "%2E")
    if len(quoted) <= _LONGEST_SEGMENT:
        return quoted
    return f"sha256={hashlib.sha256(name.encode()).hexdigest()}"
