"""One attempt to apply a load: whose rows they are, and what becomes of how many."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from shared.ledger.lease import Claim

Action = Literal["insert", "unchanged"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """The keys that the statements of an upsert are bound to.

    Attributes:
        load_id: the load.
        source_system: whose keys its rows have.
        version: `created_at` in microseconds; orders the loads of a source_system.
        run: the run that is told of rejects and counts.
        staged_run: the run whose staging rows are applied.
        validated_run: the run that pinned the files that they came from.
        fence: keeps this attempt's plan apart from every other's.
        applied_fence: the fence of the upsert that committed before, 0 if none did.
    """

    load_id: str
    source_system: str
    version: int
    run: int
    staged_run: int
    validated_run: int
    fence: int
    applied_fence: int

    @classmethod
    def of(cls, claim: Claim) -> Self:
        """The attempt that a claimed load is up for."""
        load = claim.load
        assert load.version is not None
        assert load.staged_run is not None
        assert load.validated_run is not None
        return cls(
            load_id=load.load_id,
            source_system=load.source_system,
            version=load.version,
            run=claim.run,
            staged_run=load.staged_run,
            validated_run=load.validated_run,
            fence=claim.fence,
            applied_fence=load.applied_fence or 0,
        )

    def keys(self, **others: Any) -> dict[str, Any]:
        """The values to bind, with those of a single statement."""
        return asdict(self) | others


@dataclass(frozen=True, slots=True)
class Counts:
    """What is to be done with the rows of one file; `staged` is counted apart from the others."""

    staged: int
    inserted: int
    updated: int
    unchanged: int
    stale: int
    rejected: int

    @property
    def accepted(self) -> int:
        """The rows whose keys must stand in production when the load is applied."""
        return self.inserted + self.updated + self.unchanged + self.stale

    @property
    def add_up(self) -> bool:
        """Whether every staged row has exactly one outcome."""
        return self.staged == self.accepted + self.rejected


@dataclass(frozen=True, slots=True)
class Planned:
    """What is to be done with the rows of one file.

    Attributes:
        expected: what is done with the rows that are not planned; None if all are.
        departing: how many rows are planned.
        counts: how many rows have which outcome.
        ids_may_differ: whether ids from here on may be others than the keys' hashes.
    """

    expected: Action | None
    departing: int
    counts: Counts
    ids_may_differ: bool = False
