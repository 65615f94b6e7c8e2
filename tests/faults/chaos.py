"""Handlers that behave as a bad day does: wrap any handler, and the load must come out the same."""

import random

from shared.bus.port import Answer, Handler, Message


def duplicating(handler: Handler) -> Handler:
    """Every message comes twice, the second time right after the first was handled."""

    async def twice(message: Message) -> Answer:
        first = await handler(message)
        second = await handler(message)
        return first if second is Answer.DONE else second

    return twice


def failing_randomly(handler: Handler, seed: int) -> Handler:
    """Two deliveries in five fail: before the handler ran, or after, when only its answer is lost.

    The same seed gives the same faults in the same order.
    """
    dice = random.Random(seed)

    async def unreliable(message: Message) -> Answer:
        fault = dice.choice(("before", "after", None, None, None))
        if fault == "before":
            return Answer.RETRY
        answer = await handler(message)
        if fault == "after":
            raise ConnectionResetError("the answer was lost on the way back")
        return answer

    return unreliable
