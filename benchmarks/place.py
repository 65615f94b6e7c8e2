"""Where the drops of a running stack are written, uploaded to and looked for."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx

from benchmarks.loads import EPOCH
from crossdock.pack import pack
from crossdock.stack.running import StackInfo
from infra.local.sample import generate
from shared.contracts.model import contracts
from shared.manifest import MANIFEST_NAME
from shared.mysql.connect import Database, connect

POLL_SECONDS: Final = 0.005
PATIENCE_SECONDS: Final = 3_600
# The connection asks for nothing while a large drop is written.
SILENCE_SECONDS: Final = 3_600
_STATE: Final = "SELECT state FROM load_ledger WHERE load_id = %(load_id)s"


@dataclass(frozen=True, slots=True)
class Place:
    """Where drops are written, uploaded to and looked for."""

    folder: Path
    stack: StackInfo
    http: httpx.AsyncClient
    database: Database

    def write(self, partner: str, number: int, customers: int) -> tuple[Path, int]:
        """A drop of its own rows, and how many they are."""
        drop = self.folder / "imports" / partner / f"{partner}-{number}"
        rows = generate(drop, seed=number, customers=customers)
        pack(drop, drop.name, partner, EPOCH + timedelta(minutes=number))
        return drop, sum(rows.values())

    async def upload(self, drop: Path) -> None:
        """All files of a drop but its manifest."""
        for entity in contracts()["v1"].entities:
            await self._put(drop / entity.file_name)

    async def announce(self, drop: Path) -> float:
        """Upload the manifest; the moment at which that began."""
        began = time.perf_counter()
        await self._put(drop / MANIFEST_NAME)
        return began

    async def reported(self, drop: Path, database: Database | None = None) -> float:
        """Wait for the drop's end; the moment of it."""
        looking = database or self.database
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (
                state := await looking.fetch_value(_STATE, {"load_id": drop.name})
            ) != "reported":
                assert state != "failed", drop.name
                await asyncio.sleep(POLL_SECONDS)
        return time.perf_counter()

    async def timed(self, drop: Path) -> float:
        """Seconds of one drop."""
        await self.upload(drop)
        began = await self.announce(drop)
        return await self.reported(drop) - began

    async def _put(self, path: Path) -> None:
        name = quote(path.relative_to(self.folder).as_posix(), safe="")
        url = f"{self.stack.storage_emulator_host}/upload/storage/v1/b/{self.stack.bucket}/o"
        content = await asyncio.to_thread(path.read_bytes)
        answer = await self.http.post(f"{url}?uploadType=media&name={name}", content=content)
        answer.raise_for_status()


@asynccontextmanager
async def opened(folder: Path, stack: StackInfo) -> AsyncIterator[Place]:
    """A place under a folder for the stack that runs."""
    async with (
        httpx.AsyncClient(timeout=300) as http,
        connect(stack.mysql_url, program_name="bench", silence_seconds=SILENCE_SECONDS) as database,
    ):
        yield Place(folder, stack, http, database)
