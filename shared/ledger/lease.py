"""A claim on a load, and the heartbeat that keeps its lease.

The heartbeat has its own thread and its own connection: parsing a file starves an event loop, and
a lease that is lost for want of a turn stops good work.
"""

import asyncio
import os
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pymysql
import structlog

from shared.errors import LeaseLost
from shared.events import StageName
from shared.ledger.states import Load
from shared.mysql.connect import SESSION, SILENCE_SECONDS, MySQLAddress
from shared.mysql.queries import load_queries
from shared.mysql.tls import BlockingConnection

log = structlog.get_logger()

SQL = load_queries("shared.ledger", "ledger.sql")


@dataclass(frozen=True, slots=True)
class Claim:
    """The right of one worker to run one stage of one run; a higher fence ends it.

    `predecessor` is the token of the worker that held the lease before and may still be at work.
    """

    load: Load
    stage: StageName
    run: int
    fence: int
    token: str
    predecessor: str | None = None

    @property
    def program_name(self) -> str:
        """The connection attribute by which a successor finds this worker's connections."""
        return program_name(self.token)


def new_token(stage: StageName) -> str:
    """Who holds a lease, for people, and unlike any other, for machines."""
    return f"{stage}@{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"


def program_name(token: str) -> str:
    """The connection attribute of the worker with this token."""
    return f"crossdock:{token}"


@asynccontextmanager
async def kept_alive(
    claim: Claim, url: str, *, lease_seconds: float, heartbeat_seconds: float
) -> AsyncIterator[None]:
    """Renew the lease while the body runs; the body is cancelled when the lease is lost.

    Raises:
        LeaseLost: another worker took over while the body ran.
    """
    worker = asyncio.current_task()
    loop = asyncio.get_running_loop()
    stop, lost = threading.Event(), threading.Event()
    assert worker is not None

    def cancel_unless_done() -> None:
        if not stop.is_set():
            lost.set()
            worker.cancel()

    def give_up() -> None:
        loop.call_soon_threadsafe(cancel_unless_done)

    heart = _Heart(claim, url, lease_seconds, heartbeat_seconds, stop)
    thread = threading.Thread(target=heart.beat, args=(give_up,), name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    except asyncio.CancelledError:
        if not lost.is_set():
            raise
        worker.uncancel()
        raise LeaseLost(f"{claim.load.load_id}: fence {claim.fence} was passed") from None
    finally:
        stop.set()
        await asyncio.to_thread(thread.join)


@dataclass(frozen=True, slots=True)
class _Heart:
    claim: Claim
    url: str
    lease_seconds: float
    heartbeat_seconds: float
    stop: threading.Event

    def beat(self, give_up: Callable[[], None]) -> None:
        connection: BlockingConnection | None = None
        while not self.stop.wait(self.heartbeat_seconds):
            try:
                connection = connection or self._connect()
                passed = self._fence_was_passed(connection)
            except (pymysql.err.Error, OSError) as error:
                log.warning("heartbeat.missed", load_id=self.claim.load.load_id, error=str(error))
                connection = None
                continue
            if passed:
                give_up()
                break
        if connection is not None:
            with suppress(pymysql.err.Error):
                connection.close()

    def _connect(self) -> BlockingConnection:
        return BlockingConnection(
            **MySQLAddress.parse(self.url).arguments(),
            autocommit=True,
            init_command=SESSION % {"silence_seconds": SILENCE_SECONDS},
            read_timeout=max(1, self.lease_seconds),
            program_name="crossdock:heartbeat",
        )

    def _fence_was_passed(self, connection: BlockingConnection) -> bool:
        keys = {
            "lease_seconds": self.lease_seconds,
            "load_id": self.claim.load.load_id,
            "run": self.claim.run,
            "fence": self.claim.fence,
            "token": self.claim.token,
        }
        with connection.cursor() as cursor:
            if cursor.execute(SQL["renew_lease"], keys):
                return False
            cursor.execute(SQL["read_fence"], keys)
            row = cursor.fetchone()
            return row is None or row[0] != self.claim.fence
