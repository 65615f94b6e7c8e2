"""Every read of the bucket on a load's way under every fault between a service and Cloud Storage.

A read that is refused or breaks off is tried again, and nobody hears of it. An object that is
replaced just before it is read is the partner's doing: the load is what the newest manifest says,
or `file.changed`, and never made of other bytes than its manifest tells.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

from google.auth.credentials import AnonymousCredentials, Credentials
from google.cloud.storage import Client

from crossdock.stack import storage_emulator, topology
from shared.mysql.connect import Database
from shared.storage.gcs import GcsStorage
from tests.drops import HEADERS, Drop
from tests.faults.gcs_proxy import GcsProxy, ReadFault, ReadFaultKind
from tests.faults.left import Left, difference, left
from tests.faults.one_process import NotQuietError, OneProcess, open_one_process
from tests.faults.oracles import ORACLES, FinishedRun, Violation
from tests.faults.suite import NEVER_STRUCK, Case, Result, Servers, seed_of

PROJECT = "crossdock-faults"
THREADS = 64
FOLDER = Drop().prefix
MANIFEST = f"{FOLDER}manifest.json"
CUSTOMERS = f"{FOLDER}customers.csv"
# It comes with each pass of the sweep, also when all loads are at their end.
READ_BY_SWEEP: Final = "list imports/"
# How often a load's way passes each read: the validator and the stager read every file.
READS: Final[Mapping[str, int]] = {
    f"list {FOLDER}": 1,
    READ_BY_SWEEP: 3,
    f"stat {MANIFEST}": 2,
    f"media {MANIFEST}": 1,
    **{f"{what} {FOLDER}{entity}.csv": 2 for what in ("stat", "media") for entity in HEADERS},
}
VICTIM: Final[Mapping[str, str]] = {f"list {FOLDER}": CUSTOMERS, READ_BY_SWEEP: MANIFEST}
# Name of the fault: its kind, and how many reads it strikes in a row.
FAULTS: Final[Mapping[str, tuple[ReadFaultKind, int]]] = {
    "unavailable_once": (ReadFaultKind.UNAVAILABLE, 1),
    "unavailable_thrice": (ReadFaultKind.UNAVAILABLE, 3),
    "short": (ReadFaultKind.SHORT, 1),
    "reset": (ReadFaultKind.RESET, 1),
    "replaced_by_same_bytes": (ReadFaultKind.SAME_BYTES, 1),
    "replaced_by_other_bytes": (ReadFaultKind.OTHER_BYTES, 1),
}
REPLACED: Final = frozenset({ReadFaultKind.SAME_BYTES, ReadFaultKind.OTHER_BYTES})
# A quiet day's oracle knows manifests by the drops that were uploaded, and a proxy uploads none.
KNOWS_MANIFESTS: Final = frozenset(
    {"production_as_clean_run", "contract_columns_in_created_at_order"}
)
END: Final = "SELECT state, failure_code FROM load_ledger"


@dataclass(frozen=True, slots=True)
class ReadCase(Case):
    """One read, struck at one of its occurrences."""

    read: str
    fault: str
    occurrence: int

    @property
    def replaces(self) -> str | None:
        """The object that is replaced, if one is."""
        if FAULTS[self.fault][0] not in REPLACED:
            return None
        return VICTIM.get(self.read, self.read.partition(" ")[2])


@dataclass(slots=True)
class ReadLane:
    """A lane whose bucket is the storage emulator, behind a proxy of its own."""

    one_process: OneProcess
    server_url: str
    emulator_url: str
    proxy: GcsProxy
    proxy_url: str


@dataclass(slots=True)
class ReadsMatrix:
    """The kind `read`; its quiet day is recorded by the lane that needs it first."""

    name: str = "read"
    lanes: int = 4
    _quiet: Left = field(default_factory=list)
    _seen: Counter[str] = field(default_factory=Counter)
    _recording: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def boundaries(self) -> int:
        """Reads times faults."""
        return len(READS) * len(FAULTS)

    def cases(self, seed: int) -> Sequence[ReadCase]:
        """Each occurrence of each read under each fault."""
        return [
            ReadCase(case_id, seed_of(seed, case_id), read, fault, occurrence)
            for read, times in READS.items()
            for fault in FAULTS
            for occurrence in range(1, times + 1)
            for case_id in [f"{self.name}/{read}/{fault}/{occurrence}".replace(" ", "_")]
        ]

    @asynccontextmanager
    async def open_lane(self, servers: Servers, number: int) -> AsyncIterator[ReadLane]:
        """A database and a storage emulator of its own, each with its proxy."""
        if number == 0:  # every lane's clients wait in threads of this one process
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
        folder = servers.folder / f"{self.name}-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        url = await asyncio.to_thread(_start_emulator, folder, servers.pubsub_host)
        host, _, port = urlsplit(url).netloc.partition(":")
        proxy = GcsProxy(host, int(port))
        try:
            async with open_one_process(servers.mysql_url) as one_process:
                proxy_url = f"http://127.0.0.1:{await proxy.start()}"
                yield ReadLane(one_process, servers.mysql_url, url, proxy, proxy_url)
        finally:
            await proxy.close()
            await asyncio.to_thread(storage_emulator.stop, folder)

    async def run(self, case: ReadCase, lane: ReadLane) -> Sequence[Violation]:
        """Strike, and hold the end against what a partner was promised."""
        async with self._recording:
            if not self._quiet:
                await self._record(lane)
        kind, times = FAULTS[case.fault]
        fault = ReadFault(case.read, kind, case.occurrence, times, case.replaces)
        try:
            async with _day_on_bucket(lane, fault) as (database, bucket):
                found = await self._complaints(case, lane, database, bucket)
        except NotQuietError as error:
            found = [Violation("comes_to_its_end", str(error))]
        if not lane.proxy.struck:
            found.append(Violation(NEVER_STRUCK, "the read did not come by"))
        return found

    def unreached(self, results: Sequence[Result]) -> Sequence[str]:
        """What no case struck, and reads of the quiet day that no case is about."""
        struck = {
            f"{result.case.read}, {result.case.fault}"
            for result in results
            if isinstance(result.case, ReadCase)
            and NEVER_STRUCK not in {violation.oracle for violation in result.violations}
        }
        wanted = {f"{read}, {fault}" for read in READS for fault in FAULTS}
        return [*sorted(wanted - struck), *sorted(set(self._seen) - set(READS))]

    async def _record(self, lane: ReadLane) -> None:
        lane.proxy.seen.clear()
        async with _day_on_bucket(lane, None) as (database, _):
            self._seen, self._quiet = Counter(lane.proxy.seen), await left(database)

    async def _complaints(
        self, case: ReadCase, lane: ReadLane, database: Database, bucket: str
    ) -> list[Violation]:
        end = await database.fetch_one(END)
        assert end is not None
        allowed = _allowed_codes(case)
        if end["failure_code"] not in allowed:
            return [Violation("ends_as_promised", f"{end['failure_code']} is not of {allowed}")]
        url = lane.one_process.database_url
        finished = FinishedRun(url, lane.server_url, [Drop()], bucket, {"load-1": end["state"]})
        has_other_manifest = case.replaces == MANIFEST
        found = [
            Violation(oracle.__name__, detail)
            for oracle in ORACLES
            if not (has_other_manifest and oracle.__name__ in KNOWS_MANIFESTS)
            for detail in await oracle(finished, database)
        ]
        if case.replaces is None:
            found += difference(await left(database), self._quiet)
        return found


def _allowed_codes(case: ReadCase) -> frozenset[str | None]:
    """How a load may end: None is that it is reported."""
    if case.replaces is None or case.replaces == MANIFEST:
        return frozenset({None})
    if case.read.startswith("list"):  # the folder is as if the partner had uploaded it so
        is_same = FAULTS[case.fault][0] is ReadFaultKind.SAME_BYTES
        return frozenset({None} if is_same else {"file.checksum_mismatch"})
    return frozenset({"file.changed"})


@asynccontextmanager
async def _day_on_bucket(
    lane: ReadLane, fault: ReadFault | None
) -> AsyncIterator[tuple[Database, str]]:
    """One drop from its arrival to its end, in a bucket of its own that is read by the proxy."""
    bucket = f"{PROJECT}-{uuid4().hex[:12]}"
    await asyncio.to_thread(storage_emulator.create_bucket, lane.emulator_url, bucket, PROJECT)
    storage = GcsStorage(_client(lane.proxy_url), bucket)

    async def has_struck() -> bool:
        return lane.proxy.struck

    lane.proxy.disarm()
    try:
        async with lane.one_process.day({}, storage) as day:
            arrival = await day.put(Drop())
            if fault is not None:
                lane.proxy.arm(fault)
            day.open()
            await day.tell_of(arrival)
            await day.end()
            if fault is not None and fault.name == READ_BY_SWEEP:
                await day.until(has_struck, "struck")
            lane.proxy.disarm()
            live = await storage.stat(MANIFEST)
            assert live is not None
            day.manifests.add((live.name, live.generation))
            await day.end()
            yield day.database, bucket
    finally:
        lane.proxy.disarm()
        await storage.close()


def _client(url: str) -> Client:
    nobody: Credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
    return Client(project=PROJECT, credentials=nobody, client_options={"api_endpoint": url})


def _start_emulator(folder: Path, pubsub_host: str) -> str:
    topology.create_topics(pubsub_host, PROJECT)
    notifications = storage_emulator.Notifications(
        pubsub_host=pubsub_host, project=PROJECT, topic="manifest.arrived"
    )
    return storage_emulator.ensure_started(folder, notifications).url


READS_MATRIX: Final = ReadsMatrix()
