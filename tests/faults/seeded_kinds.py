"""Games of chance as kinds of the fault suite: each lane is a process with its own database."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.conftest import REPOSITORY
from tests.faults.oracles import Violation
from tests.faults.schedules import MUST_HAPPEN
from tests.faults.suite import Case, Result, Servers, seed_of

LONGEST_ANSWER_BYTES = 2**24


class SeededKind:
    """Cases that are a seed each; `must_happen` names what some case has to bring about."""

    lanes = 3

    def __init__(self, name: str, count: int, must_happen: frozenset[str] = frozenset()) -> None:
        self.name = name
        self.count = count
        self.must_happen = must_happen
        self.happened: Counter[str] = Counter()

    @property
    def boundaries(self) -> int:
        """How many different things have to happen."""
        return len(self.must_happen)

    def cases(self, seed: int) -> Sequence[Case]:
        """A case for each number; its own seed rolls all its dice."""
        ids = [f"{self.name}/{number:04}" for number in range(self.count)]
        return [Case(case_id, seed_of(seed, case_id)) for case_id in ids]

    @asynccontextmanager
    async def open_lane(self, servers: Servers, number: int) -> AsyncIterator[Process]:
        """A process that plays seeds until there are no more."""
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.seed_worker", self.name, servers.mysql_url),
            cwd=REPOSITORY,
            stdin=PIPE,
            stdout=PIPE,
            limit=LONGEST_ANSWER_BYTES,
        )
        try:
            yield worker
        finally:
            assert worker.stdin is not None
            worker.stdin.close()
            await worker.wait()

    async def run(self, case: Case, lane: Process) -> Sequence[Violation]:
        """Let the process play one seed.

        Raises:
            EOFError: the process has ended.
        """
        assert lane.stdin is not None
        assert lane.stdout is not None
        lane.stdin.write(f"{case.seed}\n".encode())
        await lane.stdin.drain()
        line = await lane.stdout.readline()
        if not line:
            raise EOFError(f"the process that plays {self.name} has ended")
        answer = json.loads(line)
        self.happened.update(answer["happened"])
        return [Violation(oracle, detail) for oracle, detail in answer["violations"]]

    def unreached(self, results: Sequence[Result]) -> Sequence[str]:
        """What had to happen, and did not in any case."""
        return sorted(self.must_happen - set(self.happened))


SCHEDULES = SeededKind("schedule", 2_000, MUST_HAPPEN)
LEDGER_LIVES = SeededKind("ledger", 20)
