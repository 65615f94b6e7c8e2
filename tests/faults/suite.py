"""The frame of the fault suite: cases with lasting names, lanes that run them, totals that count.

A kind of fault is a family of cases. Each kind opens its own lanes: what one case at a time needs,
be it four services and a bucket or one database. A case ends with what was violated; none is well.
"""

import asyncio
import fnmatch
import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tests.faults.oracles import Violation


@dataclass(frozen=True, slots=True)
class Servers:
    """What all lanes share: real servers, and a folder for what a lane keeps.

    `mysql_url` and `pubsub_host` are an administrator's URL and the emulator's `host:port`.
    """

    folder: Path
    mysql_url: str
    pubsub_host: str


@dataclass(frozen=True, slots=True)
class Case:
    """One run. `id` is `kind/parameter/…`: the same for the same seed; `seed` is the case's own."""

    id: str
    seed: int

    @property
    def kind(self) -> str:
        """The kind's name, the first part of the id."""
        return self.id.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Result:
    """How a case ended, and how long it took."""

    case: Case
    violations: tuple[Violation, ...]
    seconds: float


CaseOf = TypeVar("CaseOf", bound=Case)
LaneOf = TypeVar("LaneOf")


class Kind(Protocol[CaseOf, LaneOf]):
    """A family of cases.

    `cases` depends on the seed alone. `unreached` names the boundaries that no case struck, out of
    the results of all cases; a case whose fault never struck violates the oracle NEVER_STRUCK.
    """

    @property
    def name(self) -> str: ...

    @property
    def lanes(self) -> int:
        """How many cases run side by side, unless the command line says otherwise."""

    @property
    def boundaries(self) -> int:
        """How many steps, statements, reads or the like have to be struck at least once."""

    def cases(self, seed: int) -> Sequence[CaseOf]: ...

    def open_lane(self, servers: Servers, number: int) -> AbstractAsyncContextManager[LaneOf]: ...

    async def run(self, case: CaseOf, lane: LaneOf) -> Sequence[Violation]: ...

    def unreached(self, results: Sequence[Result]) -> Sequence[str]: ...


NEVER_STRUCK = "fault_struck"
BROKE_OFF = "case_ran"

AnyKind = Kind[Any, Any]
Told = Callable[[Result], None]


def seed_of(seed: int, case_id: str) -> int:
    """The seed of one case, so that it can be run alone and be the same."""
    return random.Random(f"{seed}:{case_id}").getrandbits(32)


def chosen(kind: AnyKind, seed: int, patterns: Sequence[str]) -> list[Any]:
    """The kind's cases whose id matches one of the patterns; all where there is no pattern."""
    return [
        case
        for case in kind.cases(seed)
        if not patterns or any(fnmatch.fnmatchcase(case.id, pattern) for pattern in patterns)
    ]


async def run_kind(
    kind: AnyKind, cases: Sequence[Case], servers: Servers, lanes: int | None, tell: Told
) -> list[Result]:
    """Run cases of one kind side by side, and tell each result as it comes.

    Raises:
        BaseException: a lane could not be opened.
    """
    waiting = list(reversed(cases))
    results: list[Result] = []

    async def serve(number: int) -> None:
        async with kind.open_lane(servers, number) as lane:
            while waiting:
                result = await _run(kind, waiting.pop(), lane)
                results.append(result)
                tell(result)

    async with asyncio.TaskGroup() as group:
        for number in range(min(lanes or kind.lanes, len(cases))):
            group.create_task(serve(number))
    return results


async def _run(kind: AnyKind, case: Case, lane: Any) -> Result:
    began = time.monotonic()
    try:
        violations = tuple(await kind.run(case, lane))
    except Exception as error:  # noqa: BLE001 - a case that breaks off has shown nothing
        violations = (Violation(BROKE_OFF, f"{type(error).__name__}: {error}"),)
    return Result(case, violations, time.monotonic() - began)
