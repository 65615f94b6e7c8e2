"""Processes that outlive the command that started them, and that only their owner ends.

A process is known by its id *and* its start time, kept together in a file: ids are reused, and a
stranger that got the number of one of ours must never be ended by `crossdock down`.
"""

import contextlib
import fcntl
import json
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from crossdock.stack.errors import ProcessEndedError, StackError

POLL_SECONDS = 0.05
LARGEST_LOG_BYTES = 16 * 1024 * 1024
# Below the range from which kernels take the ports of outgoing connections, so that a port stays
# free while its owner is down.
PORT_RANGE = range(20_000, 32_000)

# Children of this very process: they must be reaped, or they stay visible after their end.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process, told apart from a later one that has the same id."""

    pid: int
    started: str

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return start_time(self.pid) == self.started


def start_time(pid: int) -> str | None:
    """When the process started, as an opaque text that is unique on this machine.

    Returns:
        None if there is no such process, or if it has ended and only waits to be reaped.
    """
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        _children.pop(pid, None)
        return None
    if not Path("/proc/self/stat").exists():
        return _start_time_from_ps(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    # The name in brackets may itself hold spaces and brackets: count fields after the last one.
    fields = stat.rpartition(")")[2].split()
    state, threads, started = fields[0], int(fields[17]), fields[19]
    # A killed process is "Z" from the end of its first thread on; it is gone with its last one.
    return None if state in "ZX" and threads <= 1 else f"{boot}/{started}"


def _start_time_from_ps(pid: int) -> str | None:
    """The same where there is no /proc (macOS)."""
    shown = subprocess.run(  # noqa: S603 - a number is all that varies
        ["ps", "-o", "lstart=", "-p", str(pid)],  # noqa: S607 - a system tool
        capture_output=True,
        text=True,
        check=False,
    )
    return shown.stdout.strip() or None


def log_file(state_dir: Path, name: str) -> Path:
    """Where the output of the process `name` goes."""
    return state_dir / "logs" / f"{name}.log"


def start(
    state_dir: Path,
    name: str,
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> int:
    """Start a process that outlives this one, its output appended to a log file.

    Args:
        state_dir: where the log and the record of the process are kept.
        name: what the record and the log are called by.
        command: the program and its arguments.
        env: settings beside those of this process.
        cwd: the folder to start it in; else that of this process.

    Returns:
        The process's id.

    Raises:
        StackError: the program could not be started at all.
    """
    log = log_file(state_dir, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LARGEST_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as output:
        try:
            child = subprocess.Popen(  # noqa: S603 - the commands are written in this package
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        except OSError as error:
            raise StackError(f"{name} could not be started: {error}") from error
    _children[child.pid] = child
    _record(state_dir, name, ProcessIdentity(child.pid, start_time(child.pid) or "ended"))
    return child.pid


def alive(state_dir: Path, name: str) -> int | None:
    """The id of the process `name` if it runs."""
    identity = recorded(state_dir, name)
    return identity.pid if identity is not None and identity.alive() else None


def terminate(state_dir: Path, name: str, *, grace_seconds: float = 10.0) -> bool:
    """End the process `name` if it still is the one that was started, and forget it.

    It gets SIGTERM, `grace_seconds` to end by itself, then SIGKILL.

    Returns:
        Whether there was one to end.
    """
    identity = recorded(state_dir, name)
    ended = False
    if identity is not None and identity.alive():
        ended = True
        for signal_number, patience_seconds in (
            (signal.SIGTERM, grace_seconds),
            (signal.SIGKILL, 5.0),
        ):
            with contextlib.suppress(ProcessLookupError):
                os.kill(identity.pid, signal_number)
            if _gone_within(identity, patience_seconds):
                break
    _record_file(state_dir, name).unlink(missing_ok=True)
    return ended


def ensure(
    state_dir: Path,
    name: str,
    start_it: Callable[[], object],
    ready: Callable[[], bool],
    *,
    timeout_seconds: float,
) -> int:
    """See to it that the process `name` runs and answers.

    Args:
        state_dir: where the process is recorded.
        name: the process.
        start_it: starts it; called if it does not run, or is found in the act of dying.
        ready: asks it once; False means "not yet".
        timeout_seconds: how long to ask at most.

    Returns:
        The process's id.

    Raises:
        StackError: it ended, or did not answer in time; the text holds the end of its log.
    """
    if alive(state_dir, name) is not None:
        with contextlib.suppress(ProcessEndedError):
            wait_ready(state_dir, name, ready, timeout_seconds=timeout_seconds)
    pid = alive(state_dir, name)
    if pid is None:
        start_it()
        wait_ready(state_dir, name, ready, timeout_seconds=timeout_seconds)
        pid = alive(state_dir, name)
    if pid is None:
        raise ProcessEndedError(f"{name} ended.{_end_of_log(state_dir, name)}")
    return pid


def wait_ready(
    state_dir: Path, name: str, ready: Callable[[], bool], *, timeout_seconds: float
) -> None:
    """Ask until the process `name` answers.

    Args:
        state_dir: where the process is recorded.
        name: the process.
        ready: asks it once; False means "not yet".
        timeout_seconds: how long to ask at most.

    Raises:
        ProcessEndedError: it ended.
        StackError: it did not answer in time. Both texts hold the end of its log.
    """
    deadline = time.monotonic() + timeout_seconds
    while not ready():
        if alive(state_dir, name) is None:
            ending = f"{name} ended while it started."
            raise ProcessEndedError(ending + _end_of_log(state_dir, name))
        if time.monotonic() > deadline:
            silence = f"{name} does not answer after {timeout_seconds:.0f} s."
            raise StackError(silence + _end_of_log(state_dir, name))
        time.sleep(POLL_SECONDS)


def usable_port(preferred: int | None = None, *, taken: Collection[int] = ()) -> int:
    """A TCP port of the loopback interface that nothing listens on.

    Args:
        preferred: the port to take if it is free, so that addresses survive a restart.
        taken: ports that are promised to others, who do not listen yet.

    Raises:
        StackError: no free port was found.
    """
    tries = ([preferred] if preferred else []) + random.sample(PORT_RANGE, 200)
    for port in (port for port in tries if port not in taken):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # As servers do it: a port with connections in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise StackError(f"no free TCP port between {PORT_RANGE.start} and {PORT_RANGE.stop}")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file `path` as a lock between processes; waits for as long as another holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="ascii") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone can read, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
    partial.replace(path)


def recorded(state_dir: Path, name: str) -> ProcessIdentity | None:
    """The process that was last started under this name, whether it runs or not."""
    try:
        record = json.loads(_record_file(state_dir, name).read_text(encoding="utf-8"))
        return ProcessIdentity(pid=int(record["pid"]), started=str(record["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _record_file(state_dir: Path, name: str) -> Path:
    return state_dir / "run" / f"{name}.json"


def _record(state_dir: Path, name: str, identity: ProcessIdentity) -> None:
    path = _record_file(state_dir, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, json.dumps(asdict(identity)))


def _gone_within(identity: ProcessIdentity, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while identity.alive():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _end_of_log(state_dir: Path, name: str, lines: int = 15) -> str:
    path = log_file(state_dir, name)
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    tail = "\n".join(text.splitlines()[-lines:])
    return f" The end of {path}:\n{tail}" if tail else f" Its log {path} is empty."
