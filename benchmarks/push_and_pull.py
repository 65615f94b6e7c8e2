"""`make bench-pull`: the same load through push and through pull, and one too long for a push.

Each load has a stack of its own: real MySQL, Google's Pub/Sub emulator, a storage emulator, the
four stages. A push has to be answered within 600 s; a drop whose stages take longer by themselves
would have tens of millions of rows. So the long one is a smaller drop that the stager reads slowly:
before its storage stands a relay that hands on so few bytes a second that the stage takes the
minutes asked for.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import grpc
from google.pubsub_v1 import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import PushConfig
from rich.console import Console
from rich.table import Table

from benchmarks import page
from benchmarks.loads import PARTNER, customers_of, stage_seconds
from benchmarks.place import opened
from benchmarks.progress import say
from benchmarks.slow_relay import SlowRelay
from crossdock.stack import local, processes
from crossdock.stack.running import SERVICES, StackInfo
from shared.events import DEAD_LETTER_SUBSCRIPTION, SUBSCRIPTIONS

TARGET: Final = "bench-pull"
ROWS: Final = 220_000
LONG_ROWS: Final = 2_200_000
MINUTES: Final = 11.0
LONGEST_PUSH_SECONDS: Final = 600
# A read is of up to 8 MiB, of two files side by side at most; MySQL waits 120 s for what follows.
LEAST_BYTES_A_SECOND: Final = 200_000
CUSTOMERS_TO_WARM_UP: Final = 4
STOP_SECONDS: Final = 10
HEADER: Final = ("way", "rows", "manifest to `reported`", "rows/s", "longest stage", "its claims")
_CLAIMS: Final = """SELECT COUNT(*) FROM load_event
WHERE load_id = %(load_id)s AND stage = %(stage)s AND kind = 'claimed'"""


@dataclass(frozen=True, slots=True)
class Way:
    """One load.

    Attributes:
        name: how its messages came.
        rows: of its drop.
        seconds: from the upload of its manifest to `reported`.
        stage: the longest of its stages.
        stage_seconds: of that one.
        claims: how often that one was begun; more than once is work done twice.
    """

    name: str
    rows: int
    seconds: float
    stage: str
    stage_seconds: float
    claims: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 1 if a stage was begun twice, or the long one was no longer than a push may be."""
    parser = argparse.ArgumentParser(prog=f"make {TARGET}", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="about so many, by both ways")
    parser.add_argument("--long-rows", type=int, default=LONG_ROWS, help="of the long one")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of its stager; 0: none")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = parser.parse_args(given)
    circumstances = page.Circumstances.now(TARGET, given)
    ways = [_taken("push", options.rows), _taken("pull", options.rows)]
    if options.minutes:
        ways.append(_taken("pull", options.long_rows, options.minutes * 60))
    if options.json:
        sys.stdout.write(json.dumps([asdict(way) for way in ways], indent=2) + "\n")
    else:
        show(ways)
    if options.write:
        page.write(TARGET, page.rendered(circumstances, HEADER, cells(ways)))
    is_long = options.minutes * 60 <= LONGEST_PUSH_SECONDS or (
        ways[-1].stage_seconds > LONGEST_PUSH_SECONDS
    )
    return 0 if is_long and all(way.claims == 1 for way in ways) else 1


def cells(ways: Sequence[Way]) -> list[list[str]]:
    """The table's lines."""
    return [
        [
            way.name,
            f"{way.rows:,}",
            f"{way.seconds:.1f} s",
            f"{way.rows / way.seconds:,.0f}",
            f"{way.stage}, {way.stage_seconds:.1f} s",
            str(way.claims),
        ]
        for way in ways
    ]


def show(ways: Sequence[Way]) -> None:
    """Print what was measured."""
    table = Table(*HEADER)
    for line in cells(ways):
        table.add_row(*line)
    Console(width=120).print(table)


def _taken(way: str, about_rows: int, slowed_seconds: float = 0.0) -> Way:
    say(f"{way}: {about_rows:,} rows")
    with _stack() as (folder, stack):
        return asyncio.run(_measure(folder, stack, way, about_rows, slowed_seconds))


@contextmanager
def _stack() -> Iterator[tuple[Path, StackInfo]]:
    with tempfile.TemporaryDirectory(prefix="crossdock-bench-") as name:
        state_dir = Path(name) / "stack"
        try:
            yield Path(name), local.up(state_dir, Path.cwd(), progress=say)
        finally:
            local.down(state_dir)


async def _measure(
    folder: Path, stack: StackInfo, way: str, about_rows: int, slowed_seconds: float
) -> Way:
    async with opened(folder / "bucket", stack) as place:
        drop, rows = place.write(PARTNER, 0, customers_of(about_rows))
        size_bytes = sum(path.stat().st_size for path in drop.glob("*.csv"))
        name = f"{way}, read slowly" if slowed_seconds else way
        async with _slowed(stack, size_bytes, slowed_seconds) as of_the_stager:
            if way == "pull":
                await asyncio.to_thread(_pull, folder / "stack", stack, of_the_stager)
            warm, _ = place.write("warm", 0, CUSTOMERS_TO_WARM_UP)
            await place.timed(warm)
            seconds = await place.timed(drop)
        stages = await stage_seconds(place.database, drop.name)
        longest = max(stages, key=lambda stage: stages[stage])
        asked = {"load_id": drop.name, "stage": longest}
        claims = await place.database.fetch_value(_CLAIMS, asked)
    return Way(name, rows, seconds, longest, stages[longest], claims)


@asynccontextmanager
async def _slowed(
    stack: StackInfo, size_bytes: int, seconds: float
) -> AsyncIterator[dict[str, str]]:
    """The settings with which a stage reads so many bytes in so many seconds; 0 is at once."""
    if not seconds:
        yield {}
        return
    rate = size_bytes / seconds
    assert rate >= LEAST_BYTES_A_SECOND, f"{size_bytes:,} bytes are too few for {seconds:.0f} s"
    storage = urlsplit(stack.storage_emulator_host)
    relay = SlowRelay(storage.hostname or "", storage.port or 0, rate)
    async with relay.listening() as port:
        yield {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}"}


def _pull(state_dir: Path, stack: StackInfo, of_the_stager: Mapping[str, str]) -> None:
    """End the services and take their push endpoints away; start pull workers in their place."""
    for name in SERVICES:
        processes.terminate(state_dir, name, grace_seconds=STOP_SECONDS)
    names = [f"{name}.{topic}" for name, topics in SUBSCRIPTIONS.items() for topic in topics]
    with grpc.insecure_channel(stack.pubsub_emulator_host) as channel:
        subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        for name in (*names, DEAD_LETTER_SUBSCRIPTION):
            path = f"projects/{stack.project}/subscriptions/{name}"
            subscriber.modify_push_config(subscription=path, push_config=PushConfig())
    for name in SERVICES:
        more = of_the_stager if name == "stager" else {}
        environment = {**os.environ, **stack.environment(), **more}
        command = [sys.executable, "-m", f"services.{name}"]
        processes.start(state_dir, name, command, env=environment, cwd=Path.cwd())


if __name__ == "__main__":
    sys.exit(main())
