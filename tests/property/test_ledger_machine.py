"""The ledger's transitions in any order: a few lives of the many that the fault suite runs."""

import asyncio

from tests.faults.arena import open_arena
from tests.property.ledger_machine import live_through
from tests.property.ledger_model import MOST_ATTEMPTS

LIVES = 20


def test_whatever_happens_to_a_load_in_whatever_order_the_ledger_is_as_the_pages_say(
    mysql_server_url: str,
) -> None:
    with asyncio.Runner() as runner:
        opened = open_arena(mysql_server_url, most_attempts=MOST_ATTEMPTS)
        arena = runner.run(opened.__aenter__())
        try:
            live_through(runner, arena, lives=LIVES)
        finally:
            runner.run(opened.__aexit__(None, None, None))
