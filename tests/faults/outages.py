"""MySQL ended with kill -9 in mid-load and started again; the same with the Pub/Sub emulator, which
forgets its topics and every message.

A worker is frozen at a step for as long as the blow takes, so that it falls exactly there; then the
worker goes on, and meets a part that is not there, or not any more what it was.
"""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from crossdock.stack import mysql_server, processes, pubsub_emulator, topology
from tests.faults.lane import Lane, Worker, open_lane
from tests.faults.oracles import Violation
from tests.faults.recoveries import deliver, end_well, load_before
from tests.faults.scenarios import GOOD, Scenario
from tests.faults.strike import Strike
from tests.faults.suite import NEVER_STRUCK, Case, Result, Servers, seed_of

Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class OutageCase(Case):
    """One outage, that falls while some worker is at a step of a room."""

    place: Place
    scenario: Scenario


@dataclass(frozen=True, slots=True)
class Outage:
    """A kind: one part of the lane's own dies at each of some places, and comes back.

    Attributes:
        name: the kind's name.
        process: the part's record in the folder of its lane.
        start: starts it for a lane, or starts it again at the same address.
        places: the room and the step at which it dies.
    """

    name: str
    process: str
    start: Callable[[Servers], Servers]
    places: Sequence[Place]
    lanes: int = 1

    @property
    def boundaries(self) -> int:
        """The number of places."""
        return len(self.places)

    def cases(self, seed: int) -> Sequence[OutageCase]:
        """One for each place, the scenario by the dice."""
        cases = []
        for room, step in self.places:
            case_id = f"{self.name}/{room}/{step}"
            own_seed = seed_of(seed, case_id)
            scenario = random.Random(own_seed).choice(GOOD)
            cases.append(OutageCase(case_id, own_seed, (room, step), scenario))
        return cases

    @asynccontextmanager
    async def open_lane(self, servers: Servers, number: int) -> AsyncIterator[Lane]:
        """A lane whose part nobody else uses."""
        folder = servers.folder / f"{self.name}-{number}"
        own = await asyncio.to_thread(self.start, replace(servers, folder=folder))
        try:
            async with open_lane(own, number) as lane:
                yield lane
        finally:
            processes.terminate(folder, self.process)

    async def run(self, case: OutageCase, lane: Lane) -> Sequence[Violation]:
        """Load, let the part die and come back while a worker is at the step, and look."""
        room, step = case.place
        await lane.begin()
        await load_before(lane, case.scenario)
        lane.order.give(Strike(room, step, signal.SIGSTOP))
        await deliver(lane, case.scenario)
        program = await lane.until_struck()
        if program is None:
            return [Violation(NEVER_STRUCK, f"no process came to {room}.{step}")]
        return await end_well(lane, case.scenario, self._break(lane, lane.workers[program]))

    def unreached(self, results: Sequence[Result]) -> Sequence[str]:
        """The places at which it never died."""
        return [
            result.case.id
            for result in results
            if any(one.oracle == NEVER_STRUCK for one in result.violations)
        ]

    async def _break(self, lane: Lane, frozen: Worker) -> Sequence[Violation]:
        running = processes.recorded(lane.servers.folder, self.process)
        assert running is not None
        os.kill(running.pid, signal.SIGKILL)
        frozen.signal(signal.SIGCONT)
        await asyncio.to_thread(self.start, lane.servers)
        await asyncio.to_thread(topology.create_topics, lane.servers.pubsub_host, lane.project)
        await lane.subscribe()
        return ()


def _start_mysql(servers: Servers) -> Servers:
    return replace(servers, mysql_url=mysql_server.ensure_started(servers.folder).url)


def _start_pubsub(servers: Servers) -> Servers:
    return replace(servers, pubsub_host=pubsub_emulator.ensure_started(servers.folder).host)


MYSQL_KILLED = Outage(
    "mysql-killed",
    mysql_server.PROCESS,
    _start_mysql,
    (
        ("validator", "admitted"),
        ("validator", "milestone_written"),
        ("stager", "run_cleared"),
        ("stager", "file_sent"),
        ("stager", "file_staged"),
        ("stager", "committed"),
        ("upserter", "plan_made"),
        ("upserter", "entity_written"),
        ("upserter", "milestone_written"),
        ("upserter", "committed"),
        ("reporter", "milestone_written"),
        ("outbox", "event_sent"),
    ),
)
PUBSUB_RESTARTED = Outage(
    "pubsub-restarted",
    pubsub_emulator.PROCESS,
    _start_pubsub,
    (
        ("validator", "manifest_noticed"),
        ("validator", "committed"),
        ("stager", "milestone_written"),
        ("upserter", "gate_taken"),
        ("reporter", "committed"),
        ("outbox", "event_sent"),
    ),
)
