"""One process that pulls the messages of every stage, so that a few of them meet at every load."""

import asyncio
import signal

from crossdock.pipeline import STAGES
from shared.bus.port import Answer, Message
from shared.bus.pull import pull
from shared.cloud_parts import close_parts, connect_parts
from shared.events import SUBSCRIPTIONS
from shared.logs import set_up_logs
from shared.settings import load_settings
from shared.stage import Parts, Stage, run_stage

LONGEST_WORK_SECONDS = 60


async def work() -> None:
    """Take messages, one of each subscription at a time, until SIGTERM."""
    settings = load_settings()
    set_up_logs(settings.log_level)
    parts = connect_parts(settings)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    try:
        async with asyncio.TaskGroup() as pulls:
            for stage in STAGES:
                for topic in SUBSCRIPTIONS[stage.name]:
                    pulls.create_task(_pull(stage, f"{stage.name}.{topic}", parts, stop))
    finally:
        await close_parts(parts)


async def _pull(stage: Stage, subscription: str, parts: Parts, stop: asyncio.Event) -> None:
    async def take(message: Message) -> Answer:
        return await run_stage(stage, message, parts)

    await pull(
        parts.settings.project,
        subscription,
        take,
        stop=stop,
        max_lease_seconds=LONGEST_WORK_SECONDS,
    )


if __name__ == "__main__":
    asyncio.run(work())
