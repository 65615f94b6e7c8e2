"""What each statement of an upsert costs, held against a raw LOAD DATA of the same rows.

    python -m benchmarks.upsert_sql mysql://user:password@host:port/ [rows]

It makes a database of its own and drops it at the end. The load is put in for the first time, run
again as it is, and run again with 5 % of its rows changed.
"""

import asyncio
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice

from crossdock.stack import mysql_server
from services.upserter.attempt import Attempt
from services.upserter.classify import prepare
from services.upserter.gate import advance_epoch, take_gate
from services.upserter.plan import EntityPlan, plan_of
from services.upserter.write import assert_reconciled, record_counts, write
from shared.contracts.model import Column, Contract, Entity, Kind, contracts
from shared.contracts.row_rules import violation_sql
from shared.contracts.tables import Names, staging_head
from shared.csv_records import encode_record
from shared.identity import hashed_id
from shared.mysql.connect import Database, Parameters, Row, connect
from shared.mysql.migrate import migrate
from shared.mysql.quoting import quoted

DATABASE = "crossdock_benchmark"
SHAPE = (1.0, 1.5, 3.0, 5.5)
CHANGED_EVERY = 20
ROWS_A_CHUNK = 2_000
LOAD = """LOAD DATA LOCAL INFILE %(stream)s INTO TABLE {staging} CHARACTER SET utf8mb4
FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '"' ESCAPED BY '' LINES TERMINATED BY '\\n'
({columns}) SET load_id = %(load_id)s, run = 1"""


class TimedDatabase(Database):
    """Adds up the seconds of each statement under its name."""

    def __init__(self, database: Database, plans: Sequence[EntityPlan]) -> None:
        super().__init__(database.connection)
        self.names = {sql: name for plan in plans for name, sql in plan.sql.items()}
        self.seconds: dict[str, float] = defaultdict(float)

    async def execute(self, sql: str, parameters: Parameters | None = None) -> int:
        began = time.perf_counter()
        affected = await super().execute(sql, parameters)
        self.seconds[self.names.get(sql, "gate and others")] += time.perf_counter() - began
        return affected

    async def fetch_all(self, sql: str, parameters: Parameters | None = None) -> Sequence[Row]:
        began = time.perf_counter()
        rows = await super().fetch_all(sql, parameters)
        self.seconds[self.names.get(sql, "gate and others")] += time.perf_counter() - began
        return rows


PIN = """INSERT INTO load_file
    (load_id, run, entity, name, generation, size_bytes, row_count, sha256)
VALUES (%(load_id)s, %(validated_run)s, %(entity)s, '', 1, 0, %(row_count)s, '')"""


def records(
    contract: Contract, entity: Entity, sizes: dict[str, int], *, changed: bool
) -> Iterator[str]:
    text = next(c for c in entity.value_columns if c.kind is Kind.TEXT and c.size >= 20)
    parent = contract.parent_of(entity)
    for row_no in range(1, sizes[entity.name] + 1):
        fields = {c.name: value(c, row_no) for c in entity.columns}
        fields[entity.key] = key(entity, row_no)
        if parent is not None:
            fields[parent.key] = key(parent, row_no * 7 % sizes[parent.name] + 1)
        if changed and row_no % CHANGED_EVERY == 0:
            fields[text.name] = "changed"
        head = [row_no, hashed_id(entity.name, "acme", fields[entity.key])]
        if parent is not None:
            head.append(hashed_id(parent.name, "acme", fields[parent.key]))
        yield f"{','.join(map(str, head))},{encode_record(fields.values())}\n"


def key(entity: Entity, number: int) -> str:
    return f"{entity.name[:3].upper()}-{number * 7919 % 100_000_007:09d}"


def value(column: Column, number: int) -> str:
    match column.kind:
        case Kind.TEXT:
            return f"{column.name} {number % 9973}"[-column.size :]
        case Kind.INT:
            return str(number % 100_000)
        case Kind.DECIMAL:
            return f"{number % 90_000}.{number % 10}"
        case Kind.DATE:
            return f"20{number % 25:02d}-{number % 12 + 1:02d}-{number % 28 + 1:02d}"
        case Kind.TIMESTAMP:
            return "2025-01-31T12:00:00Z"


async def chunks(lines: Iterator[str]) -> AsyncIterator[bytes]:
    while chunk := "".join(islice(lines, ROWS_A_CHUNK)):
        yield chunk.encode()


async def load_raw(
    database: Database,
    contract: Contract,
    sizes: dict[str, int],
    attempt: Attempt,
    *,
    changed: bool,
) -> float:
    """Seconds of LOAD DATA alone, with the bytes made beforehand."""
    seconds = 0.0
    for entity in contract.entities:
        ready = [chunk async for chunk in chunks(records(contract, entity, sizes, changed=changed))]

        async def stream(ready: list[bytes] = ready) -> AsyncIterator[bytes]:
            for chunk in ready:
                yield chunk

        columns = ", ".join(map(quoted, (*staging_head(entity), *entity.header)))
        statement = LOAD.format(staging=quoted(Names.of(entity).staging), columns=columns)
        began = time.perf_counter()
        await database.connection.load_stream(statement, attempt.keys(), stream())
        seconds += time.perf_counter() - began
        pinned = {"entity": entity.name, "row_count": sizes[entity.name]}
        await database.execute(PIN, attempt.keys(**pinned))
    return seconds


async def upsert(
    database: Database, plans: Sequence[EntityPlan], attempt: Attempt
) -> dict[str, float]:
    """Seconds by statement of one upsert without its ledger."""
    timed = TimedDatabase(database, plans)
    began = time.perf_counter()
    prepared = await prepare((timed,), plans, attempt)
    async with timed.transaction():
        await take_gate(timed, attempt, prepared.epoch)
        await write(timed, plans, attempt, prepared)
        await advance_epoch(timed, attempt)
        await assert_reconciled(timed, plans, attempt, prepared)
        await record_counts(timed, plans, attempt, prepared)
        committed = time.perf_counter()
    ended = time.perf_counter()
    timed.seconds["commit"] = ended - committed
    timed.seconds["TOTAL"] = ended - began
    return timed.seconds


async def row_checks(database: Database, contract: Contract, attempt: Attempt) -> float:
    began = time.perf_counter()
    for entity in contract.entities:
        await database.fetch_value(
            f"SELECT COUNT(*) FROM {quoted(Names.of(entity).staging)} s "
            f"WHERE s.load_id = %(load_id)s AND ({violation_sql(entity, 's')}) IS NOT NULL",
            attempt.keys(),
        )
    return time.perf_counter() - began


async def measure(url: str, rows: int) -> None:
    contract = next(iter(contracts().values()))
    share = rows / sum(SHAPE)
    sizes = {e.name: int(part * share) for e, part in zip(contract.entities, SHAPE, strict=True)}
    plans = plan_of(contract)
    first = Attempt(
        "first", "acme", version=1, run=1, staged_run=1, validated_run=1, fence=1, applied_fence=0
    )
    again = Attempt(
        "first", "acme", version=1, run=2, staged_run=1, validated_run=1, fence=2, applied_fence=1
    )
    later = Attempt(
        "later", "acme", version=2, run=1, staged_run=1, validated_run=1, fence=1, applied_fence=0
    )
    await migrate(url)
    async with connect(url, local_infile=True) as database:
        raw = [await load_raw(database, contract, sizes, first, changed=False)]
        checks = await row_checks(database, contract, first)
        columns = {"first": await upsert(database, plans, first)}
        columns["rerun"] = await upsert(database, plans, again)
        raw.append(await load_raw(database, contract, sizes, later, changed=True))
        columns["5 %"] = await upsert(database, plans, later)
    show(min(raw), checks, columns, sum(sizes.values()))


def show(raw: float, checks: float, columns: dict[str, dict[str, float]], rows: int) -> None:
    print(f"{rows} rows; raw LOAD DATA {raw:.2f} s = 1.0; row checks in it {checks / raw:.2f}")
    names = list(dict.fromkeys(name for seconds in columns.values() for name in seconds))
    print(f"{'':22}" + "".join(f"{title:>16}" for title in columns))
    for name in names:
        cells = (f"{s.get(name, 0):9.2f} {s.get(name, 0) / raw:5.2f}x" for s in columns.values())
        print(f"{name:22}" + "".join(cells))


def main() -> None:
    warnings.simplefilter("ignore")
    server, rows = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 220_000
    url = mysql_server.create_database(server, DATABASE)
    try:
        asyncio.run(measure(url, rows))
    finally:
        mysql_server.drop_database(server, DATABASE)


if __name__ == "__main__":
    main()
