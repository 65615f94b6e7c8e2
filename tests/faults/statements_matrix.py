"""Every statement of a load's way under every fault between a service and MySQL.

What there is to strike is read off the .sql files; on which days it occurs is seen on a quiet run
of each. A case strikes one statement on one of its days, and the day must end as the quiet one.
"""

import asyncio
import fnmatch
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from shared.mysql.queries import load_queries
from tests.conftest import REPOSITORY
from tests.faults.left import Left, difference, left
from tests.faults.mysql_proxy import StatementFault, StatementFaultKind
from tests.faults.one_process import BUCKET, Day, NotQuietError, OneProcess, open_one_process
from tests.faults.oracles import FinishedRun, Violation, violations
from tests.faults.statement_scenarios import SCENARIOS, Scenario
from tests.faults.suite import NEVER_STRUCK, Case, Result, Servers, seed_of

# Statements without a name of their own, and how many of their occurrences are struck.
BARE: Final[Mapping[str, int]] = {
    "BEGIN": 3,
    "COMMIT": 8,
    "ROLLBACK": 1,
    "SELECT NOW": 2,
    "SELECT @@WARNING_COUNT": 1,
}
NOT_ON_A_LOADS_WAY: Final[Mapping[str, str]] = {
    "shared.dead_letters.*": "told of messages that no stage takes; no load depends on them",
    "shared.mysql.own_rights.*": "asked by health checks; no load depends on them",
    "shared.telemetry.*": "look at what waits, for the metrics; no load depends on them",
}
NO_STATEMENTS: Final = frozenset({"fragments.sql", "routines.sql"})
MOST_DAYS: Final = 4
AGAINST_CLEAN_RUN: Final = frozenset(
    {
        "production_as_clean_run",
        "contract_columns_in_created_at_order",
        "failed_wrote_nothing",
    }
)


@dataclass(frozen=True, slots=True)
class StatementCase(Case):
    """One statement, struck once."""

    statement: str
    fault: StatementFaultKind


@dataclass(frozen=True, slots=True)
class QuietDay:
    """A scenario without a fault: which statements went by how often, and what was left."""

    scenario: Scenario
    seen: Counter[str]
    left: Left


@dataclass(slots=True)
class StatementLane:
    """A lane and its administrator's server."""

    one_process: OneProcess
    server_url: str


@dataclass(slots=True)
class StatementsMatrix:
    """The kind `statement`; its quiet days are recorded by the lane that needs them first."""

    name: str = "statement"
    lanes: int = 4
    _quiet: list[QuietDay] = field(default_factory=list)
    _recording: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def boundaries(self) -> int:
        """Statements times faults."""
        return len(_boundaries())

    def cases(self, seed: int) -> Sequence[StatementCase]:
        """Each statement under each fault; of what occurs all the time, several occurrences."""
        return [
            StatementCase(case_id, seed_of(seed, case_id), statement, fault)
            for statement, times in {**dict.fromkeys(statements(), 1), **BARE}.items()
            for fault in StatementFaultKind
            for number in range(1, times + 1)
            for case_id in [f"{self.name}/{statement}/{fault}/{number}".replace(" ", "_")]
        ]

    @asynccontextmanager
    async def open_lane(self, servers: Servers, number: int) -> AsyncIterator[StatementLane]:
        """A database of its own, with the proxy before it."""
        async with open_one_process(servers.mysql_url) as one_process:
            yield StatementLane(one_process, servers.mysql_url)

    async def run(self, case: StatementCase, lane: StatementLane) -> Sequence[Violation]:
        """Strike, and hold what was left against the quiet day."""
        days = _days_with(case.statement, await self._quiet_days(lane.one_process))
        if not days:
            return [Violation(NEVER_STRUCK, f"{case.statement} occurs on no day")]
        dice = random.Random(case.seed)
        dice.shuffle(days)
        occurrence = dice.randint(1, days[0].seen[case.statement])
        # What comes by chance may not come again: then those days have their turn on which the
        # statement came most often.
        others = sorted(days[1:], key=lambda day: day.seen[case.statement], reverse=True)
        for quiet in [days[0], *others][:MOST_DAYS]:
            found, struck = await _strike(case, quiet, occurrence, lane)
            if struck or found:
                break
            occurrence = 1
        if not struck:
            found.append(Violation(NEVER_STRUCK, "the statement did not come by"))
        return [Violation(one.oracle, f"{quiet.scenario.name}: {one.detail}") for one in found]

    def unreached(self, results: Sequence[Result]) -> Sequence[str]:
        """The statements under faults that no case struck."""
        struck = {
            f"{result.case.statement}, {result.case.fault}"
            for result in results
            if isinstance(result.case, StatementCase)
            and NEVER_STRUCK not in {violation.oracle for violation in result.violations}
        }
        return sorted(_boundaries() - struck)

    async def _quiet_days(self, lane: OneProcess) -> Sequence[QuietDay]:
        async with self._recording:
            if not self._quiet:
                self._quiet = [await _recorded(scenario, lane) for scenario in SCENARIOS]
            return self._quiet


def statements() -> list[str]:
    """The named statements of a load's way, out of every .sql file of the services.

    Raises:
        ValueError: a statement of a load's way does not carry its name.
    """
    names: list[str] = []
    for path in _sql_files():
        package = ".".join(path.parent.relative_to(REPOSITORY).parts)
        for name in load_queries(package, path.name):
            full_name = f"{package}.{path.stem}.{name}"
            if not any(fnmatch.fnmatchcase(full_name, known) for known in NOT_ON_A_LOADS_WAY):
                names.append(full_name)
    return names


def _boundaries() -> set[str]:
    return {f"{name}, {fault}" for name in (*statements(), *BARE) for fault in StatementFaultKind}


def _sql_files() -> list[Path]:
    return [
        path
        for room in ("services", "shared")
        for path in sorted((REPOSITORY / room).rglob("*.sql"))
        if path.parent.name != "migrations" and path.name not in NO_STATEMENTS
    ]


async def _recorded(scenario: Scenario, lane: OneProcess) -> QuietDay:
    proxy = lane.proxy
    proxy.arm(*filter(None, [scenario.first_strike]))
    proxy.seen.clear()
    async with lane.day(scenario.settings) as day:
        await scenario.act(day)
        states = {
            row["load_id"]: row["state"]
            for row in await day.database.fetch_all("SELECT load_id, state FROM load_ledger")
        }
        assert states == scenario.ends, (scenario.name, states)
        return QuietDay(scenario, Counter(proxy.seen), await left(day.database))


def _days_with(statement: str, quiet: Sequence[QuietDay]) -> list[QuietDay]:
    """The days on which the statement occurs, but for one that strikes it by itself."""
    return [
        day
        for day in quiet
        if day.seen[statement]
        and (day.scenario.first_strike is None or day.scenario.first_strike.name != statement)
    ]


async def _strike(
    case: StatementCase, quiet: QuietDay, occurrence: int, lane: StatementLane
) -> tuple[list[Violation], bool]:
    """Let one day happen under the fault; what is wrong with its end, and whether it struck."""
    scenario, proxy = quiet.scenario, lane.one_process.proxy
    fault = StatementFault(case.statement, case.fault, occurrence)
    proxy.arm(*filter(None, (scenario.first_strike, fault)))
    try:
        async with lane.one_process.day(scenario.settings) as day:
            await scenario.act(day)
            found = await _complaints(day, scenario, lane.server_url)
            found += difference(await left(day.database), quiet.left)
    except NotQuietError as error:
        found = [Violation("comes_to_its_end", str(error))]
    struck = proxy.struck
    proxy.disarm()
    return found, struck


async def _complaints(day: Day, scenario: Scenario, server_url: str) -> list[Violation]:
    finished = FinishedRun(day.lane.database_url, server_url, day.drops, BUCKET, scenario.ends)
    found = await violations(finished)
    if scenario.has_foreign_rows:
        found = [one for one in found if one.oracle not in AGAINST_CLEAN_RUN]
    return found


STATEMENTS_MATRIX: Final = StatementsMatrix()
