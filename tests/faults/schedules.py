"""Messages as no bus would deliver them: doubled, out of order, late, lost, replayed, forged.

A seed rolls the dice for every decision: the loads, how many workers there are, what is delivered
next, and what else happens meanwhile. MySQL and the stages are real; the bus is a pool that the
dice draw from. Time is never waited for: it passes when the dice say so, for everyone at once, so
that a worker in mid-work finds its lease run out, as one that was stopped does.

With one worker a seed always makes the same schedule. With more the dice are the same, and MySQL
decides who of them comes first.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from crossdock.pipeline import STAGES
from shared.bus.port import Answer, DeadLetter, Message
from shared.dead_letters import keep_in_process
from shared.events import SUBSCRIPTIONS, Topic
from shared.gcs_notification import notification_of
from shared.ledger.mysql import load_of
from shared.stage import Parts, run_stage
from shared.sweep import sweep
from tests.faults.arena import BUCKET, Arena
from tests.faults.forgeries import FORGERIES, replay
from tests.faults.oracles import FinishedRun, Violation, violations
from tests.faults.schedule_loads import Upload, some_uploads

LEAST_MISCHIEF, MOST_MISCHIEF = 2, 14
MOST_ROUNDS = 60
STAGE_OF = {topic: stage for stage in STAGES for topic in SUBSCRIPTIONS[stage.name]}


@dataclass(frozen=True)
class Played:
    """How a schedule ended, what happened in it how often, and what the dice said in turn."""

    violations: tuple[Violation, ...]
    happened: Counter[str]
    trail: tuple[str, ...]


class Pool:
    """A bus that keeps every message until somebody takes it out."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.published = 0

    async def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        """Keep the message for the one stage that takes the topic, if there is one."""
        self.published += 1
        stage = STAGE_OF.get(Topic(topic))
        if stage is not None:
            name = f"{stage.name}.{topic}"
            now = datetime.now(UTC)
            message = Message(data, dict(attributes), name, str(self.published), now)
            self.messages.append(message)
        return str(self.published)

    async def close(self) -> None:
        """Nothing to give back."""


@dataclass
class Schedule:
    """One schedule on its way; `trail` tells what the dice said."""

    arena: Arena
    dice: random.Random
    uploads: Sequence[Upload]
    pool: Pool = field(default_factory=Pool)
    trail: list[str] = field(default_factory=list)
    running: set[asyncio.Task[None]] = field(default_factory=set)
    happened: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.parts: Parts = self.arena.parts_with(self.pool)
        self.workers = self.dice.choice((1, 2, 4))
        self.mischief = self.dice.randint(LEAST_MISCHIEF, MOST_MISCHIEF)
        self.to_mend = [upload for upload in self.uploads if upload.needs_mending]

    async def play(self) -> None:
        """Deliver until the mischief is used up, then until nothing moves any more.

        Raises:
            TimeoutError: it never came to rest.
        """
        for upload in self.uploads:
            upload.first.write(self.arena.bucket_dir)
            await self._notify(upload)
        while self.mischief:
            await self._turn()
        for _ in range(MOST_ROUNDS):
            await self._deliver_all()
            await self._sweep()
            if self.pool.messages:
                continue
            if self.to_mend:
                await self._mend()
            elif await self._is_quiet():
                return
            else:
                await self._pass_time()
        raise TimeoutError(f"not at rest after {MOST_ROUNDS} sweeps")

    async def _turn(self) -> None:
        if len(self.running) == self.workers or (self.running and self.dice.random() < 1 / 4):
            await self._let_work_go_on()
        elif self.pool.messages and self.dice.random() < 3 / 4:
            self._begin(self._draw())
        else:
            self.mischief -= 1
            act = self.dice.choice(MISCHIEF)
            self._tell(act.__name__.removeprefix("_"))
            await act(self)

    async def _deliver_all(self) -> None:
        while self.pool.messages or self.running:
            if self.pool.messages and len(self.running) < self.workers:
                self._begin(self._draw())
            else:
                await self._let_work_go_on()

    def _draw(self) -> Message:
        return self.pool.messages.pop(self.dice.randrange(len(self.pool.messages)))

    def _begin(self, message: Message) -> None:
        self._tell("deliver", f"{message.subscription} {message.data[:200]!r}")
        self.running.add(asyncio.create_task(self._take(message)))

    async def _take(self, message: Message) -> None:
        topic = Topic(message.subscription.partition(".")[2])
        answer = await run_stage(STAGE_OF[topic], message, self.parts)
        self._tell(f"answer_{answer.value}")
        if answer is Answer.RETRY:
            self.pool.messages.append(message)
        elif answer is Answer.REFUSED:
            letter = DeadLetter(message, topic, "the handler answered refused", 1)
            await keep_in_process([letter], self.parts.ledger.url)

    async def _let_work_go_on(self) -> None:
        done, self.running = await asyncio.wait(self.running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    def _tell(self, what: str, detail: str = "") -> None:
        self.happened[what] += 1
        self.trail.append(f"{what} {detail}".strip())

    async def _notify(self, upload: Upload) -> None:
        name = f"{upload.first.prefix}manifest.json"
        found = await self.parts.storage.stat(name)
        assert found is not None
        notification = notification_of(BUCKET, name, found.generation)
        await self.pool.publish(Topic.ARRIVED, b"{}", notification)

    async def _double(self) -> None:
        if self.pool.messages:
            self.pool.messages.append(self.dice.choice(self.pool.messages))

    async def _lose(self) -> None:
        if self.pool.messages:
            self._draw()

    async def _replay(self) -> None:
        load_id = self.dice.choice(self.uploads).first.load_id
        await self.pool.publish(*replay(self.dice, load_id))

    async def _forge(self) -> None:
        make = self.dice.choice(FORGERIES)
        self._tell(make.__name__)
        drop = self.dice.choice(self.uploads).first
        await self.pool.publish(*make(self.dice, drop, BUCKET))

    async def _notify_again(self) -> None:
        await self._notify(self.dice.choice(self.uploads))

    async def _upload_again(self) -> None:
        upload = self.dice.choice(self.uploads)
        lies = upload.first if upload in self.to_mend else upload.last
        lies.write_manifest(self.arena.bucket_dir)
        await self._notify(upload)

    async def _mend(self) -> None:
        if self.to_mend:
            upload = self.to_mend.pop()
            upload.last.write(self.arena.bucket_dir)
            await self._notify(upload)

    async def _sweep(self) -> None:
        await sweep(self.parts)

    async def _pass_time(self) -> None:
        await self.arena.pass_time()

    async def _is_quiet(self) -> bool:
        database = self.arena.database
        rows = await database.fetch_all("SELECT *, NOW(6) AS now FROM load_ledger")
        undecided = await database.fetch_value(
            "SELECT COUNT(*) FROM arrival WHERE verdict IN ('noticed', 'pending')"
        )
        return not undecided and all(load_of(row).due_topic is None for row in rows)


MISCHIEF: tuple[Callable[[Schedule], Awaitable[None]], ...] = (
    Schedule._double,
    Schedule._lose,
    Schedule._replay,
    Schedule._forge,
    Schedule._notify_again,
    Schedule._upload_again,
    Schedule._mend,
    Schedule._sweep,
    Schedule._pass_time,
)


KINDS = (
    *("received", "claimed", "replayed", "finished", "failed", "waiting", "duplicate", "busy"),
    *("not_yet_due", "too_early", "older_run", "unknown_load", "already_replayed"),
    *("arrival_pending", "arrival_history", "arrival_superseded", "arrival_refused"),
)
# What must come about in a long run: all mischief, every answer, every verdict on a message.
MUST_HAPPEN = frozenset(
    {
        *(act.__name__.removeprefix("_") for act in MISCHIEF),
        *(make.__name__ for make in FORGERIES),
        *(f"answer_{answer.value}" for answer in Answer),
        *(f"history_{kind}" for kind in KINDS),
    }
)


async def play(arena: Arena, seed: int) -> Played:
    """Play the schedule of a seed on an arena that nobody else uses, and judge it."""
    await arena.clear()
    dice = random.Random(seed)
    schedule = Schedule(arena, dice, some_uploads(dice))
    found: list[Violation] = []
    try:
        await schedule.play()
    except Exception as error:  # noqa: BLE001 - no message may make a stage raise anything
        found.append(Violation("every_message_is_answered", f"{type(error).__name__}: {error}"))
    finally:
        await asyncio.gather(*schedule.running, return_exceptions=True)
    run = FinishedRun(
        arena.settings.mysql_url,
        arena.server_url,
        [upload.last for upload in schedule.uploads],
        BUCKET,
        {upload.last.load_id: upload.ends for upload in schedule.uploads},
    )
    found += await violations(run)
    kinds = await arena.database.fetch_all("SELECT kind FROM load_event")
    schedule.happened.update(f"history_{row['kind']}" for row in kinds)
    return Played(tuple(found), schedule.happened, tuple(schedule.trail))
