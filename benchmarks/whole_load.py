"""The whole job, all four stages, against a raw LOAD DATA of the same files.

    python -m benchmarks.whole_load [CUSTOMERS]

Eleven rows come with each customer: 20,000 make about 220 k rows, 200,000 about 2.2 million. A
MySQL server of its own with durable settings is started in a temporary folder and removed.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pymysql
from rich.console import Console
from rich.table import Table

from crossdock.pack import pack
from crossdock.pipeline import STAGES, Ending, run_arrival, subscribe_stages
from crossdock.stack import mysql_server
from infra.local.sample import generate
from shared.bus.memory import MemoryBus
from shared.contracts.model import Entity, contracts
from shared.events import Event, Topic
from shared.gcs_notification import arrival_of
from shared.ledger.mysql import Ledger
from shared.logs import set_up_logs
from shared.mysql.connect import MySQLAddress
from shared.mysql.migrate import migrate
from shared.partners import Partners
from shared.settings import Settings
from shared.stage import Parts
from shared.storage.directory import DirectoryStorage

SEED = 1
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
RAW = """LOAD DATA LOCAL INFILE '{path}' INTO TABLE `{table}` CHARACTER SET utf8mb4
FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '"' ESCAPED BY '' LINES TERMINATED BY '{end}'
IGNORE 1 LINES ({columns})"""


def write_drop(root: Path, load_id: str, customers: int, *, version: int) -> int:
    """Write and pack one drop below the bucket folder; returns its rows."""
    folder = root / "imports" / "acme" / load_id
    rows = generate(folder, seed=SEED, customers=customers, version=version)
    pack(folder, load_id, "acme", EPOCH + timedelta(minutes=version))
    return sum(rows.values())


def load_raw(url: str, folder: Path) -> float:
    """Seconds for the four files into tables of text columns, over one connection."""
    entities = contracts()["v1"].entities
    address = MySQLAddress.parse(url)
    with pymysql.connect(**address.arguments(), local_infile=True, autocommit=True) as connection:
        cursor = connection.cursor()
        for entity in entities:
            cursor.execute(f"CREATE TABLE raw_{entity.name} ({_raw_columns(entity)})")
        began = time.perf_counter()
        for entity in entities:
            path = folder / entity.file_name
            end = "\\r\\n" if path.read_bytes()[:4096].count(b"\r\n") else "\\n"
            columns = ", ".join(f"`{name}`" for name in entity.header)
            cursor.execute(
                RAW.format(path=path, table=f"raw_{entity.name}", end=end, columns=columns)
            )
        seconds = time.perf_counter() - began
        for entity in entities:
            cursor.execute(f"DROP TABLE raw_{entity.name}")
    return seconds


def _raw_columns(entity: Entity) -> str:
    columns = ", ".join(f"`{name}` MEDIUMTEXT" for name in entity.header)
    return f"row_no BIGINT AUTO_INCREMENT PRIMARY KEY, {columns}"


class Timed:
    """Runs the pipeline and adds up the seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {stage.name: 0.0 for stage in STAGES}
        self._current: tuple[str, float] | None = None

    def progress(self, line: str) -> None:
        """Called by the pipeline as each stage begins."""
        self.stop()
        self._current = (line.split(maxsplit=1)[0], time.perf_counter())

    def stop(self) -> None:
        """The stage that runs has ended."""
        if self._current is not None:
            name, began = self._current
            self.seconds[name] += time.perf_counter() - began
            self._current = None


async def timed(run: Callable[[Timed], Awaitable[None]]) -> Timed:
    clock = Timed()
    await run(clock)
    clock.stop()
    return clock


async def measure(url: str, root: Path) -> dict[str, Timed]:
    settings = Settings(mysql_url=url, bucket="drops", missing_file_grace_seconds=0)
    storage = DirectoryStorage(root, settings.bucket)

    def parts(bus: MemoryBus) -> Parts:
        return Parts(settings, storage, bus, Ledger(settings), Partners())

    async def run(load_id: str, clock: Timed) -> None:
        name = f"imports/acme/{load_id}/manifest.json"
        found = await storage.stat(name)
        assert found is not None
        arrival = arrival_of(settings.bucket, name, found.generation)
        assert arrival is not None
        bus = MemoryBus()
        followed = await run_arrival(arrival, parts(bus), bus, progress=clock.progress)
        assert followed.ending is Ending.REPORTED, followed

    async def replay(load_id: str, clock: Timed) -> None:
        bus = MemoryBus()
        subscribe_stages(bus, parts(bus), clock.progress)
        await bus.publish(Topic.ARRIVED, Event(load_id=load_id).body(), {})
        await bus.drain()

    return {
        "first load": await timed(lambda clock: run("first", clock)),
        "rerun of it": await timed(lambda clock: replay("first", clock)),
        "5 % changed": await timed(lambda clock: run("second", clock)),
    }


def show(rows: int, raw_seconds: float, results: dict[str, Timed]) -> None:
    table = Table(title=f"{rows:,} rows; raw LOAD DATA {raw_seconds:.1f} s")
    for heading in ("", *(stage.name for stage in STAGES), "all", "x raw"):
        table.add_column(heading, justify="right")
    for name, clock in results.items():
        total = sum(clock.seconds.values())
        cells = [f"{seconds:.1f} s" for seconds in (*clock.seconds.values(), total)]
        table.add_row(name, *cells, f"{total / raw_seconds:.1f}")
    Console().print(table)


def main(customers: int) -> None:
    set_up_logs("warning")
    with tempfile.TemporaryDirectory(prefix="crossdock-benchmark-") as folder:
        state_dir, root = Path(folder) / "stack", Path(folder) / "bucket"
        rows = write_drop(root, "first", customers, version=1)
        write_drop(root, "second", customers, version=2)
        try:
            url = mysql_server.ensure_started(state_dir).url
            asyncio.run(migrate(url))
            raw_seconds = load_raw(url, root / "imports" / "acme" / "first")
            results = asyncio.run(measure(url, root))
        finally:
            mysql_server.stop(state_dir)
        show(rows, raw_seconds, results)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
