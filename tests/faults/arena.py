"""One database and one bucket folder for any number of runs, one after the other."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

from crossdock.stack import mysql_server
from shared.bus.port import Bus
from shared.ledger.mysql import Ledger
from shared.mysql.connect import Database, connect, redone
from shared.mysql.migrate import migrate
from shared.partners import Partners
from shared.settings import Settings
from shared.stage import Parts
from shared.storage.directory import DirectoryStorage

BUCKET = "drops"
LEASE_SECONDS = 60


@dataclass(frozen=True)
class Arena:
    """Where runs take place: all parts are real, but for the bus that each brings along."""

    server_url: str
    bucket_dir: Path
    settings: Settings
    database: Database
    tables: Sequence[str]

    def parts_with(self, bus: Bus) -> Parts:
        """What the stages work with."""
        storage = DirectoryStorage(self.bucket_dir, BUCKET)
        return Parts(self.settings, storage, bus, Ledger(self.settings), Partners())

    async def clear(self) -> None:
        """Forget every run before: no row, no object."""
        shutil.rmtree(self.bucket_dir, ignore_errors=True)
        self.bucket_dir.mkdir()
        async with self.database.transaction():
            for table in self.tables:
                await self.database.execute(f"DELETE FROM `{table}`")

    async def pass_time(self) -> None:
        """Let a lease's time and a half pass at once, for whoever is at work too."""
        keys = {"seconds": LEASE_SECONDS * 1.5}
        for statement in AGING:
            await redone(partial(self.database.execute, statement, keys))


AGING = (
    """UPDATE load_ledger SET lease_until = lease_until - INTERVAL %(seconds)s SECOND,
        next_attempt_at = next_attempt_at - INTERVAL %(seconds)s SECOND,
        waiting_since = waiting_since - INTERVAL %(seconds)s SECOND,
        waiting_for_since = waiting_for_since - INTERVAL %(seconds)s SECOND""",
    "UPDATE outbox SET published_at = published_at - INTERVAL %(seconds)s SECOND",
    "UPDATE arrival SET noticed_at = noticed_at - INTERVAL %(seconds)s SECOND",
)


@asynccontextmanager
async def open_arena(server_url: str, *, most_attempts: int = 100) -> AsyncIterator[Arena]:
    """A new database on the server and a new folder; both go in the end."""
    name = f"arena_{uuid4().hex[:12]}"
    url = mysql_server.create_database(server_url, name)
    try:
        await migrate(url)
        settings = Settings(
            mysql_url=url,
            bucket=BUCKET,
            lease_seconds=LEASE_SECONDS,
            sweep_seconds=LEASE_SECONDS,
            order_wait_seconds=LEASE_SECONDS * 2,
            missing_file_grace_seconds=0,
            attempts_before_attention=most_attempts,
            retry_base_seconds=LEASE_SECONDS,
            retry_longest_seconds=LEASE_SECONDS,
        )
        with tempfile.TemporaryDirectory(prefix="crossdock-arena-") as folder:
            async with connect(url, program_name="arena") as database:
                await database.execute("SET SESSION foreign_key_checks = FALSE")
                rows = await database.fetch_all(
                    "SELECT TABLE_NAME AS name FROM information_schema.TABLES "
                    "WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' "
                    "AND TABLE_NAME <> 'schema_migration'"
                )
                tables = [row["name"] for row in rows]
                yield Arena(server_url, Path(folder) / BUCKET, settings, database, tables)
    finally:
        mysql_server.drop_database(server_url, name)
