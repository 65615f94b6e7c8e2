"""A process that plays one kind of game by the seeds that come in, and answers each with JSON.

Called with the kind's name and an administrator's URL of a MySQL server.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import structlog

from tests.faults.arena import Arena, open_arena
from tests.faults.schedules import play
from tests.property.ledger_machine import live_through
from tests.property.ledger_model import MOST_ATTEMPTS

LIVES_A_SEED = 20
TRAIL = "what_the_dice_said"
Answer = dict[str, Any]
Game = Callable[[asyncio.Runner, Arena, int], Answer]


def play_schedule(runner: asyncio.Runner, arena: Arena, number: int) -> Answer:
    """One schedule of messages."""
    played = runner.run(play(arena, number))
    violations = [(one.oracle, one.detail) for one in played.violations]
    if violations:
        violations.append((TRAIL, "\n".join(played.trail)))
    return {"violations": violations, "happened": played.happened}


def play_ledger(runner: asyncio.Runner, arena: Arena, number: int) -> Answer:
    """Some lives of a load in the ledger."""
    violations: list[tuple[str, str]] = []
    try:
        live_through(runner, arena, lives=LIVES_A_SEED, number=number)
    except AssertionError as error:
        notes = "\n".join(getattr(error, "__notes__", []))
        violations.append(("ledger_as_the_pages_say", f"{error}\n{notes}"))
    return {"violations": violations, "happened": {"lives": LIVES_A_SEED}}


GAMES: dict[str, tuple[Game, int]] = {
    "schedule": (play_schedule, 100),
    "ledger": (play_ledger, MOST_ATTEMPTS),
}


def work(kind: str, server_url: str) -> None:
    """Play until there are no more seeds."""
    game, most_attempts = GAMES[kind]
    with asyncio.Runner() as runner:
        opened: AbstractAsyncContextManager[Arena]
        opened = open_arena(server_url, most_attempts=most_attempts)
        arena = runner.run(opened.__aenter__())
        try:
            for line in sys.stdin:
                answer = game(runner, arena, int(line))
                sys.stdout.write(json.dumps(answer) + "\n")
                sys.stdout.flush()
        finally:
            runner.run(opened.__aexit__(None, None, None))


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with suppress(KeyboardInterrupt):
        work(*sys.argv[1:])
