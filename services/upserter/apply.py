"""All files of a load, parents first: one is planned while the one before is being written."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from services.upserter.attempt import Attempt, Counts, Planned
from services.upserter.checks import hold_limit
from services.upserter.classify import classify
from services.upserter.gate import Gate
from services.upserter.hands import Hands
from services.upserter.plan import EntityPlan
from services.upserter.write import assert_standing, count_piece, write
from shared.mysql.side_by_side import ending
from shared.partners import RejectLimit
from shared.steps import passed
from shared.telemetry import tracing

# What will be known of a file; those after it in the order wait for it.
Planning = asyncio.Task[Planned]


async def apply(
    hands: Hands, plans: Sequence[EntityPlan], attempt: Attempt, *, gate: Gate, limit: RejectLimit
) -> dict[str, Counts]:
    """Plan, write and count every file; what is written stands once the transaction commits.

    A load with too many rejects is written no further, but planned to its end, so that all of its
    rejects are told at once.

    Args:
        hands: the connections that do it.
        plans: the statements of each entity, parents first.
        attempt: whose rows, and under which fence.
        gate: what is true while it is held.
        limit: how many rejects are too many.

    Returns:
        By entity, what became of how many rows.

    Raises:
        Rejected: too many rows are rejected, or the counts do not agree.
        TransientFault: staging does not hold what the files did.
        pymysql.err.IntegrityError: production holds a new key's id for another key.
    """
    planning: dict[str, Planning] = {}
    counting: list[asyncio.Task[Any]] = []
    for plan in plans:
        name = plan.entity.name
        of_file = partial(classify, hands, plan, attempt, gate=gate)
        planning[name] = asyncio.create_task(_plan_next(dict(planning), name, of_file))
    async with ending(planning.values()), ending(counting):
        for plan in plans:
            planned = await hands.outlast(planning[plan.entity.name])
            if _is_passed(limit, planning.values()):
                break
            counted: list[asyncio.Task[int]] = []
            async with hands.writing() as database:
                async for piece in write(database, plan, attempt, planned, gate.newer):
                    count = count_piece(hands, plan, attempt, planned, piece)
                    counted.append(asyncio.create_task(count))
                    counting.append(counted[-1])
            passed("upserter", "entity_written", entity=plan.entity.name)
            standing = assert_standing(hands, plan, attempt, planned, counted)
            counting.append(asyncio.create_task(standing))
        counts = {name: (await hands.outlast(task)).counts for name, task in planning.items()}
        await hands.outlast(hands.help(partial(hold_limit, plans, attempt, counts, limit)))
        for task in counting:
            await hands.outlast(task)
    return counts


async def _plan_next(
    earlier: Mapping[str, Planning],
    name: str,
    of_file: Callable[..., Coroutine[Any, Any, Planned]],
) -> Planned:
    before = {entity: await task for entity, task in earlier.items()}
    tracing.steps_go_on()
    planned = await of_file(earlier=before)
    passed("upserter", "plan_made", entity=name)
    return planned


def _is_passed(limit: RejectLimit, planning: Iterable[Planning]) -> bool:
    """Whether a file that is planned already has too many rejects."""
    known = [task.result().counts for task in planning if task.done()]
    return any(limit.is_passed(rows=one.staged, rejected=one.rejected) for one in known)
