"""A stage as a pull worker: the same code, with leases that the bus extends while it works.

A push has to be answered within 600 s. Loads that take longer are pulled: the subscriptions are the
same ones without their push endpoint.
"""

import asyncio
import signal

from shared.bus.port import Answer, Handler, Message
from shared.bus.pull import pull
from shared.cloud_parts import close_parts, connect_parts
from shared.events import DEAD_LETTER_SUBSCRIPTION, SUBSCRIPTIONS
from shared.logs import set_up_logs
from shared.memory import give_large_buffers_back
from shared.service import TakeLetter
from shared.settings import Settings, load_settings
from shared.stage import Stage, run_stage
from shared.telemetry.start import start_telemetry

LONGEST_WORK_SECONDS = 6 * 3600
# Cloud Run ends a process 10 s after SIGTERM; what is not done by then is given back.
STOP_SECONDS = 8


def work(stage: Stage, *, take_letter: TakeLetter | None = None) -> None:
    """Take messages of the stage's subscriptions until SIGTERM.

    With `take_letter` it takes dead letters too, by a subscription of their own.

    A message in hand then has STOP_SECONDS to be finished; else its load is released.

    Raises:
        SettingsError: a setting is missing or wrong.
    """
    give_large_buffers_back()
    settings = load_settings()
    set_up_logs(settings.log_level, service=stage.name, project=settings.project)
    start_telemetry(stage.name)
    asyncio.run(_work(stage, settings, take_letter))


async def _work(stage: Stage, settings: Settings, take_letter: TakeLetter | None) -> None:
    parts = connect_parts(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)

    async def take(message: Message) -> Answer:
        return await run_stage(stage, message, parts)

    takers: dict[str, Handler] = {
        f"{stage.name}.{topic}": take for topic in SUBSCRIPTIONS[stage.name]
    }
    if take_letter is not None:
        takers[DEAD_LETTER_SUBSCRIPTION] = lambda message: take_letter(message, parts)
    try:
        async with asyncio.TaskGroup() as pulls:
            tasks = [
                pulls.create_task(
                    pull(
                        settings.project,
                        subscription,
                        handler,
                        stop=stop,
                        max_lease_seconds=LONGEST_WORK_SECONDS,
                    )
                )
                for subscription, handler in takers.items()
            ]
            await stop.wait()
            await asyncio.wait(tasks, timeout=STOP_SECONDS)
            for task in tasks:
                task.cancel()
    finally:
        await close_parts(parts)
