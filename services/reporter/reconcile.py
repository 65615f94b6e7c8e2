"""Manifest, staging and production held against each other: a pure report of facts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from shared.errors import Failure

MOST_STALE_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class EntityCounts:
    """Rows of one entity; None is what this run did not come to know, which is never 0."""

    manifest: int | None = None
    staged: int | None = None
    inserted: int | None = None
    updated: int | None = None
    unchanged: int | None = None
    stale: int | None = None
    rejected: int | None = None
    production: int | None = None

    @property
    def outcomes(self) -> dict[str, int]:
        """What became of how many staged rows, as far as this run came to know."""
        names = ("inserted", "updated", "unchanged", "stale", "rejected")
        known = {name: getattr(self, name) for name in names}
        return {name: rows for name, rows in known.items() if rows is not None}

    @property
    def reconciles(self) -> bool:
        """Whether every row is accounted for and every accepted key stands in production."""
        parts = (self.inserted, self.updated, self.unchanged, self.stale, self.rejected)
        if self.staged is None or self.rejected is None or None in parts:
            return False
        accounted = sum(part for part in parts if part is not None)
        return (
            self.manifest == self.staged == accounted
            and self.production == self.staged - self.rejected
        )


@dataclass(frozen=True, slots=True)
class ReportedFile:
    """A file as it was delivered; size and generation are unknown where it was never pinned."""

    name: str
    rows: int
    sha256: str
    bytes: int | None
    generation: int | None


@dataclass(frozen=True, slots=True)
class RejectedRows:
    """The rejected rows that were kept: how many by code, and the object that lists them.

    `file` is None where none lists them: nothing was rejected, or the partner's ack is of another
    run or does not exist.
    """

    by_code: Mapping[str, int] = field(default_factory=dict)
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one run of a load, for people and for programs.

    `applied_run` is the run whose upsert stands in production, if one does.
    """

    load_id: str
    source_system: str
    run: int
    applied_run: int | None
    state: str
    schema_version: str | None
    manifest_sha256: str | None
    started_at: datetime
    finished_at: datetime
    entities: Mapping[str, EntityCounts]
    rejected_rows: RejectedRows
    failure: Failure | None
    files: Sequence[ReportedFile]
    warnings: Sequence[str]

    @property
    def reconciled(self) -> bool:
        """Whether the run succeeded and every entity reconciles."""
        counts = self.entities.values()
        return self.failure is None and bool(counts) and all(one.reconciles for one in counts)

    @property
    def outcome(self) -> str:
        """One word for subject lines: reported, mismatch or failed."""
        if self.failure is not None:
            return "failed"
        return "reported" if self.reconciled else "mismatch"

    def to_json(self) -> dict[str, Any]:
        """The report as the interface fixes it."""
        return {
            "load_id": self.load_id,
            "source_system": self.source_system,
            "run": self.run,
            "applied_run": self.applied_run,
            "state": self.state,
            "schema_version": self.schema_version,
            "manifest_sha256": self.manifest_sha256,
            "started_at": _text(self.started_at),
            "finished_at": _text(self.finished_at),
            "reconciled": self.reconciled,
            "entities": {name: asdict(counts) for name, counts in self.entities.items()},
            "rejected_rows": asdict(self.rejected_rows),
            "failure": self.failure.to_json() if self.failure else None,
            "files": [asdict(file) for file in self.files],
            "warnings": [*self.warnings, *_stale_warnings(self.entities)],
        }


def _stale_warnings(entities: Mapping[str, EntityCounts]) -> list[str]:
    stale = sum(counts.stale or 0 for counts in entities.values())
    staged = sum(counts.staged or 0 for counts in entities.values())
    if not staged or stale <= staged * MOST_STALE_SHARE:
        return []
    return [
        f"{stale} of {staged} rows are older than what stands in production; is created_at right?"
    ]


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
