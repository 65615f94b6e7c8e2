"""What drives a run: drops go in, a struck worker is replaced, and in the end all must be well."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence

from shared.ledger.states import State
from tests.faults.lane import BUCKET, LEASE_SECONDS, Lane, NotQuietError, Worker
from tests.faults.oracles import FinishedRun, Violation, violations
from tests.faults.scenarios import Scenario

WAITS_FOR_EVER = "nothing_waits_for_ever"
ZOMBIE = "zombie_changes_nothing"

Recovery = Callable[[Lane, Worker, Scenario], Awaitable[Sequence[Violation]]]


async def load_before(lane: Lane, scenario: Scenario) -> None:
    """Bring the loads in that the scenario begins with.

    Raises:
        NotQuietError: they do not come to their end.
    """
    for drop in scenario.before:
        await lane.upload(drop)
    if scenario.before:
        await lane.until_quiet(len(scenario.before))


async def deliver(lane: Lane, scenario: Scenario) -> None:
    """Upload the scenario's drops; what it replaces is overwritten before the stager sees it."""
    stager = lane.workers["stager"]
    if scenario.replaced:
        stager.signal(signal.SIGSTOP)
    for drop in scenario.drops:
        await lane.upload(drop)
    if scenario.replaced:
        first = scenario.drops[0]
        await lane.until_state(first.load_id, State.VALIDATED)
        for name, data in scenario.replaced.items():
            await lane.put(first.prefix + name, data)
        stager.signal(signal.SIGCONT)


async def killed_and_started_again(
    lane: Lane, worker: Worker, _scenario: Scenario
) -> Sequence[Violation]:
    """It was killed; the same service comes back at the same address."""
    await lane.until_gone(worker)
    await lane.start(worker.program)
    return ()


async def killed_and_stood_in_for(
    lane: Lane, worker: Worker, _scenario: Scenario
) -> Sequence[Violation]:
    """It was killed; another one, elsewhere, gets its messages."""
    await lane.until_gone(worker)
    await lane.take_over(worker.program)
    return ()


async def frozen_and_woken(lane: Lane, worker: Worker, scenario: Scenario) -> Sequence[Violation]:
    """It is frozen for longer than its lease; another one ends its work; then it wakes."""
    lease_ends = asyncio.create_task(asyncio.sleep(LEASE_SECONDS))
    await lane.take_over(worker.program)
    await lane.until_at_end(len(scenario.all_drops))
    await lease_ends
    before = await lane.decided()
    worker.signal(signal.SIGCONT)
    worker.signal(signal.SIGTERM)  # it brings what it has in hand to its end, and goes
    await lane.until_gone(worker)
    after = await lane.decided()
    return [Violation(ZOMBIE, f"{name} changed") for name in before if before[name] != after[name]]


RECOVERIES: dict[str, tuple[signal.Signals, Recovery]] = {
    "kill-same": (signal.SIGKILL, killed_and_started_again),
    "kill-other": (signal.SIGKILL, killed_and_stood_in_for),
    "zombie": (signal.SIGSTOP, frozen_and_woken),
}


async def end_well(
    lane: Lane, scenario: Scenario, recovery: Awaitable[Sequence[Violation]]
) -> Sequence[Violation]:
    """Recover, wait until nothing moves any more, and ask the oracles."""
    loads = len(scenario.all_drops)
    try:
        found = await recovery
        await lane.until_at_end(loads)
        await lane.let_notice_leases_run_out()
        await lane.until_quiet(loads)
    except NotQuietError as error:
        return [Violation(WAITS_FOR_EVER, str(error))]
    run = FinishedRun(
        lane.database_url, lane.servers.mysql_url, scenario.all_drops, BUCKET, scenario.expected
    )
    return [*found, *await violations(run)]
