"""Runs a peer's commands, timed as a whole, with a limit, and says why one failed."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

POLL_SECONDS: Final = 0.02
LONGEST_REASON: Final = 160
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_IS_A_HINT: Final = re.compile(r"Background on this error at|^WARNING")
_LOOKS_LIKE_A_REASON: Final = re.compile(r"error|exception|fatal|failed|denied", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Took:
    """What one load took.

    Attributes:
        seconds: of all commands together, each a process from its start to its end.
        peak_bytes: the largest memory that any of them had.
        failure: why it came to nothing, or None.
    """

    seconds: float
    peak_bytes: int
    failure: str | None = None


def run(
    commands: Sequence[Sequence[str]],
    *,
    folder: Path,
    environment: Mapping[str, str],
    limit_seconds: float,
) -> Took:
    """Run one command after the other; the first that fails, or the limit, ends it."""
    began = time.perf_counter()
    peak_bytes = 0
    for number, command in enumerate(commands):
        log = folder / f"{number}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        code, used_bytes = _waited(process, began + limit_seconds)
        peak_bytes = max(peak_bytes, used_bytes)
        seconds = time.perf_counter() - began
        if code is None:
            return Took(seconds, peak_bytes, f"not done after {limit_seconds:.0f} s")
        if code:
            words = log.read_text("utf-8", errors="replace")
            return Took(seconds, peak_bytes, reason(words) or f"exit code {code}")
    return Took(time.perf_counter() - began, peak_bytes)


def reason(log: str) -> str:
    """The line of a log that most likely says what was wrong, without addresses and paths."""
    lines = [line.strip() for line in _ESCAPES.sub("", log).splitlines() if line.strip()]
    lines = [line for line in lines if not _IS_A_HINT.search(line)]
    telling = [line for line in lines if _LOOKS_LIKE_A_REASON.search(line)] or lines
    text = telling[-1] if telling else ""
    text = re.sub(r"\w+(\+\w+)?://\S+|(?<!\w)/[\w./-]+", "…", text)
    return text if len(text) <= LONGEST_REASON else text[:LONGEST_REASON] + "…"


def _waited(process: "subprocess.Popen[bytes]", deadline: float) -> tuple[int | None, int]:
    """The exit code, or None where it had to be killed, and the most memory it had."""
    is_late = False
    while True:
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return (None if is_late else process.returncode), used.ru_maxrss * 1024
        if not is_late and time.perf_counter() > deadline:
            is_late = True
            os.killpg(process.pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
