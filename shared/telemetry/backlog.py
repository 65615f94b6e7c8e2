"""Looks at the database for what waits there; whoever sweeps does it after each pass."""

from datetime import datetime

from shared.ledger.states import State
from shared.mysql.connect import Database, connect
from shared.mysql.queries import load_queries
from shared.telemetry.metrics import Backlog, show_backlog
from shared.telemetry.start import is_exporting
from shared.waiting_letters import read_waiting_letters

SQL = load_queries("shared.telemetry", "backlog.sql")


async def tell_backlog(mysql_url: str, bucket: str) -> None:
    """Show in the metrics what waits, of a bucket's loads, if anybody takes them.

    Raises:
        TransientFault: the database did not answer.
    """
    if is_exporting():
        async with connect(mysql_url, program_name="crossdock:metrics") as database:
            show_backlog(await read_backlog(database, bucket))


async def read_backlog(database: Database, bucket: str) -> Backlog:
    """What waits at this moment; states are counted over all buckets."""
    loads = await database.fetch_all(SQL["loads"])
    waiting = await database.fetch_one(SQL["waiting"], {"bucket": bucket})
    assert waiting is not None
    letters = await read_waiting_letters(database)
    return Backlog(
        loads={State(row["state"]): row["loads"] for row in loads},
        needing_attention=waiting["needing_attention"],
        oldest_load_age=_age_seconds(waiting["oldest_load"], waiting["now"]),
        outbox_age=_age_seconds(waiting["oldest_event"], waiting["now"]),
        arrivals_pending=waiting["arrivals_pending"],
        dead_letters_waiting=letters.total,
    )


def _age_seconds(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else (now - since).total_seconds()
