"""A slice of the message schedules: the same dice every time."""

import asyncio
from collections import Counter

import pytest

from tests.faults.arena import open_arena
from tests.faults.schedules import MISCHIEF, Played, play

SEEDS = range(12)
OF_ONE_WORKER = 3


@pytest.fixture(scope="module")
def played(mysql_server_url: str) -> dict[int, Played]:
    """Every schedule of the slice, one after the other."""

    async def play_all() -> dict[int, Played]:
        async with open_arena(mysql_server_url) as arena:
            return {seed: await play(arena, seed) for seed in SEEDS}

    return asyncio.run(play_all())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_schedule_ends_as_a_quiet_day_does(played: dict[int, Played], seed: int) -> None:
    assert played[seed].violations == ()


def test_the_slice_has_a_bit_of_everything(played: dict[int, Played]) -> None:
    happened = sum((one.happened for one in played.values()), Counter[str]())
    assert {act.__name__.removeprefix("_") for act in MISCHIEF} <= set(happened)
    assert {"history_replayed", "history_duplicate", "history_waiting"} <= set(happened)


async def test_a_seed_with_one_worker_makes_the_same_schedule_again(mysql_server_url: str) -> None:
    async with open_arena(mysql_server_url) as arena:
        trails = [(await play(arena, OF_ONE_WORKER)).trail for _ in range(2)]
    once, again = ([line.split()[:2] for line in trail] for trail in trails)
    assert len(once) > 10
    assert once == again
