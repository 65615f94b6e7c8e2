"""The whole system on this machine without Docker: start it, find it, stop it.

`up` brings every part to where it should be and leaves alone what already is there, so it both
starts the stack and mends it. What it starts outlives it; `down` ends it.
"""

import contextlib
import http.client
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from crossdock.stack import mysql_server, processes, pubsub_emulator, storage_emulator
from crossdock.stack.accounts import account_urls
from crossdock.stack.prepare import prepare
from crossdock.stack.running import (
    SERVICES,
    SWEEP,
    ServiceInfo,
    StackInfo,
    remember,
    remembered,
    runs,
)
from shared.events import Topic
from shared.settings import Settings, load_settings

Progress = Callable[[str], None]

# The sweep answers no requests: it counts as started once it has outlived its own beginning.
SWEEP_SETTLE_SECONDS = 1.0
SERVICE_START_SECONDS = 60.0
# uvicorn waits for requests in flight, then ends; the stage's transaction is rolled back.
SERVICE_STOP_SECONDS = 8
ADDRESS_TO_COME = "mysql://crossdock@127.0.0.1/crossdock"
# What `down --purge` drops. Other folders may stand beside these, such as a test session's.
CONTENT = ("mysql", "pubsub", "storage", "logs", "run", "stack.json")


def up(state_dir: Path, repo_root: Path, *, progress: Progress = lambda _line: None) -> StackInfo:
    """Start the stack, or start again what has died; returns when every service is ready.

    Ports are kept over restarts, so that subscriptions and settings stay right. To be called
    outside an event loop: it runs the schema migration in one of its own. Where the environment has
    CROSSDOCK_MYSQL_URL, that database is used and no server is started; every service then works
    under the account that it names, and under one of its own on the stack's own server.

    Args:
        state_dir: where data, ports, logs and process ids are kept.
        repo_root: the working copy; services are started there.
        progress: told what is being done, one line at a time.

    Raises:
        EmulatorMissingError: an emulator is not installed; nothing has been started.
        MySQLServerMissingError: there is no MySQL server and none could be fetched.
        StackError: a part does not start; the text holds the end of its log.
        SettingsError: a setting is wrong; nothing has been started.
    """
    settings = _read_settings()
    state_dir = state_dir.resolve()
    progress = _one_line_at_a_time(progress)
    with processes.locked(state_dir / "up.lock"):
        _require_emulators(state_dir)
        known = remembered(state_dir)
        info = _start_infrastructure(state_dir, known, settings, progress)
        changed = known is None or known.environment() != info.environment()
        if changed:
            # A service that works on another database or another Pub/Sub is of no use.
            _stop_workers(state_dir)
        progress("topics, bucket, accounts and schema: bringing them up to date")
        urls = {name: service.url for name, service in info.services.items()}
        settings = load_settings(before_emulators=True, mysql_url=info.mysql_url)
        accounts = None if _named_database() else account_urls(info.mysql_url)
        hosts = (info.pubsub_emulator_host, info.storage_emulator_host)
        prepare(settings, *hosts, urls, accounts)
        return _start_workers(state_dir, repo_root, info, accounts or {}, progress)


def down(
    state_dir: Path, *, purge: bool = False, progress: Progress = lambda _line: None
) -> list[str]:
    """Stop the stack; its data stays unless `purge` is asked for.

    Args:
        state_dir: the folder that `up` was given.
        purge: drop the database, the objects and the logs too. A database that CROSSDOCK_MYSQL_URL
            named is not ours and stays as it is.
        progress: told what is being done.

    Returns:
        The parts that were running, by name.
    """
    state_dir = state_dir.resolve()
    if not state_dir.exists():
        return []
    with processes.locked(state_dir / "up.lock"):
        ended = _stop_workers(state_dir)
        for name, stop in (
            (storage_emulator.PROCESS, storage_emulator.stop),
            (pubsub_emulator.PROCESS, pubsub_emulator.stop),
            (mysql_server.PROCESS, mysql_server.stop),
        ):
            if stop(state_dir):
                ended.append(name)
        for name in ended:
            progress(f"{name}: stopped")
        if purge:
            for name in CONTENT:
                path = state_dir / name
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            progress(f"data dropped: {state_dir}")
    return ended


def _one_line_at_a_time(progress: Progress) -> Progress:
    """Parts start side by side; what is told of them is not to be mixed."""
    lock = threading.Lock()

    def tell(line: str) -> None:
        with lock:
            progress(line)

    return tell


def _require_emulators(state_dir: Path) -> None:
    if processes.alive(state_dir, pubsub_emulator.PROCESS) is None:
        pubsub_emulator.find_jar()
        pubsub_emulator.find_java()
    if processes.alive(state_dir, storage_emulator.PROCESS) is None:
        storage_emulator.find_binary()


def _read_settings() -> Settings:
    """The settings as the services will read them; a server that is to start has no address yet."""
    return load_settings(before_emulators=True, mysql_url=_named_database() or ADDRESS_TO_COME)


def _named_database() -> str | None:
    return os.environ.get("CROSSDOCK_MYSQL_URL")


def _start_infrastructure(
    state_dir: Path, known: StackInfo | None, settings: Settings, progress: Progress
) -> StackInfo:
    """Start what the services stand on, and choose the services' ports."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        progress("MySQL and Pub/Sub: starting")
        starting = pool.submit(_mysql_url, state_dir, progress)
        pubsub = pubsub_emulator.ensure_started(state_dir)
        mysql_url = starting.result()
    progress("storage: starting")
    notifications = storage_emulator.Notifications(pubsub.host, settings.project, Topic.ARRIVED)
    storage = storage_emulator.ensure_started(state_dir, notifications)
    return StackInfo(
        mysql_url=mysql_url,
        pubsub_emulator_host=pubsub.host,
        storage_emulator_host=storage.url,
        project=settings.project,
        bucket=settings.bucket,
        services=_places(state_dir, known),
    )


def _mysql_url(state_dir: Path, progress: Progress) -> str:
    return _named_database() or mysql_server.ensure_started(state_dir, progress=progress).url


def _places(state_dir: Path, known: StackInfo | None) -> dict[str, ServiceInfo]:
    """Where every service is, or is to be: at the port it had, if that is still to be had."""
    places: dict[str, ServiceInfo] = {}
    ports: set[int] = set()
    for name in SERVICES:
        before = known.services.get(name) if known else None
        port = urlsplit(before.url).port if before else None
        if port is None or not runs(state_dir, name):
            port = processes.usable_port(port, taken=ports)
        ports.add(port)
        places[name] = ServiceInfo(f"http://127.0.0.1:{port}", before.pid if before else 0)
    return places


def _start_workers(
    state_dir: Path,
    repo_root: Path,
    info: StackInfo,
    accounts: Mapping[str, str],
    progress: Progress,
) -> StackInfo:
    """Start the services and the sweep loop that do not run, and wait until all are ready."""
    # Before the first start: a start that is cut short is taken up again on the same ports.
    remember(state_dir, info)
    environment = {**info.environment(), "PYTHONUNBUFFERED": "1"}

    def start(name: str, module: Sequence[str], account: str, **more: str) -> None:
        command = [sys.executable, "-m", *module]
        more["CROSSDOCK_MYSQL_URL"] = accounts.get(account, info.mysql_url)
        processes.start(state_dir, name, command, env={**environment, **more}, cwd=repo_root)

    def start_service(name: str, url: str) -> None:
        progress(f"{name}: starting at {url}")
        port = str(urlsplit(url).port)
        serve = ["uvicorn", f"services.{name}.app:app", "--host", "127.0.0.1", "--port", port]
        quiet = ["--no-access-log", "--no-server-header"]
        limits = ["--timeout-graceful-shutdown", str(SERVICE_STOP_SECONDS)]
        start(name, [*serve, *quiet, *limits], name, PORT=port)

    def ensure_service(name: str) -> ServiceInfo:
        url = info.services[name].url
        starting, ready = partial(start_service, name, url), partial(_ready, url)
        pid = processes.ensure(
            state_dir, name, starting, ready, timeout_seconds=SERVICE_START_SECONDS
        )
        return ServiceInfo(url, pid)

    settled = time.monotonic()
    if not runs(state_dir, SWEEP):
        progress("sweep: starting")
        start(SWEEP, ["crossdock", "sweep", "--loop"], "operator")
        settled += SWEEP_SETTLE_SECONDS
    with ThreadPoolExecutor(max_workers=len(SERVICES)) as pool:
        running = dict(zip(SERVICES, pool.map(ensure_service, SERVICES), strict=True))
    time.sleep(max(0.0, settled - time.monotonic()))
    processes.wait_ready(state_dir, SWEEP, partial(runs, state_dir, SWEEP), timeout_seconds=5)
    info = replace(info, services=running)
    remember(state_dir, info)
    return info


def _stop_workers(state_dir: Path) -> list[str]:
    """Stop services and sweep at once; returns the names of those that ran."""
    names = (SWEEP, *SERVICES)

    def stop(name: str) -> bool:
        return processes.terminate(state_dir, name, grace_seconds=SERVICE_STOP_SECONDS + 2)

    with ThreadPoolExecutor(max_workers=len(names)) as pool:
        return [name for name, ran in zip(names, pool.map(stop, names), strict=True) if ran]


def _ready(url: str) -> bool:
    """Whether a service says that it can work."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
