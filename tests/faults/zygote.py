"""One process that has imported everything, and forks services from itself.

A fork takes milliseconds where a new interpreter takes a second and a half of processor time. The
zygote opens no connection and starts no thread, so its children begin as fresh as a new process.
When whoever asked for it goes away, however that happens, it ends with all its children.
"""

import asyncio
import contextlib
import gc
import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.faults.strike import StrikeOrder, stand_in_front_of_the_log

SWEEP = "sweep"
_REPOSITORY = Path(__file__).resolve().parents[2]
_IMPORTED = (
    "uvicorn",
    "uvicorn.protocols.http.auto",
    "uvicorn.lifespan.on",
    "fastapi",
    "google.cloud.pubsub_v1",
    "google.cloud.storage",
    "services.validator.stage",
    "services.stager.stage",
    "services.upserter.stage",
    "services.reporter.stage",
    "services.reporter.deliver",
    "shared.service",
    "crossdock.cli",
    "crossdock.cli.stack",
)


class Zygote:
    """A handle on the process: asks it for children."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._one_at_a_time = asyncio.Lock()

    @classmethod
    async def start(cls) -> Self:
        """Start it; the first fork waits until all is imported."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.faults.zygote",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=_REPOSITORY,
            start_new_session=True,
        )
        return cls(process)

    async def fork(
        self, name: str, program: str, port: int, folder: Path, environment: Mapping[str, str]
    ) -> int:
        """Start a service on a port, or the sweep, and return its process id.

        Args:
            name: what strikes know it by, and its log.
            program: a stage's name, or SWEEP.
            port: where a service listens on the loopback interface.
            folder: the lane's, with its strike order and its logs.
            environment: its settings.
        """
        order = {
            "name": name,
            "program": program,
            "port": port,
            "folder": str(folder),
            "environment": dict(environment),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._one_at_a_time:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            answer = await self._process.stdout.readline()
        return int(answer)

    def end(self) -> None:
        """End it and all its children, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel takes dead children away
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    for line in sys.stdin.buffer:
        pid = os.fork()
        if pid == 0:
            _live(json.loads(line))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
    os.killpg(0, signal.SIGKILL)


def _live(order: dict[str, Any]) -> None:
    """The life of a child; it does not return."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        folder = Path(order["folder"])
        _redirect(folder / f"{order['name']}.log")
        os.environ.update(order["environment"])
        stand_in_front_of_the_log(order["name"], StrikeOrder(folder))
        if order["program"] == SWEEP:
            importlib.import_module("crossdock.cli.stack").sweep(loop=True)
        else:
            _serve(order["program"], order["port"])
        status = 0
    except BaseException:  # noqa: BLE001 - the child has no caller to tell
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _redirect(log: Path) -> None:
    with log.open("ab") as output, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)


def _serve(stage: str, port: int) -> None:
    uvicorn = importlib.import_module("uvicorn")
    app = importlib.import_module(f"services.{stage}.app").app
    config = uvicorn.Config(app, host="127.0.0.1", port=port, access_log=False, log_level="warning")
    uvicorn.Server(config).run()


if __name__ == "__main__":
    _main()
