"""What `crossdock down` may end, and what it must not."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from crossdock.stack import processes
from crossdock.stack.errors import StackError

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
IGNORE_SIGTERM = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('deaf', flush=True)
time.sleep(60)
"""
DEAF = [sys.executable, "-c", IGNORE_SIGTERM]


def test_a_started_process_is_alive_until_it_is_terminated(tmp_path: Path) -> None:
    pid = processes.start(tmp_path, "sleeper", SLEEP)
    assert processes.alive(tmp_path, "sleeper") == pid
    assert processes.terminate(tmp_path, "sleeper")
    assert processes.alive(tmp_path, "sleeper") is None
    assert processes.start_time(pid) is None


def test_terminating_what_never_ran_does_nothing(tmp_path: Path) -> None:
    assert not processes.terminate(tmp_path, "nobody")


def test_a_stranger_that_got_the_same_process_id_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen(SLEEP)
    try:
        record = tmp_path / "run" / "ours.json"
        record.parent.mkdir()
        record.write_text(f'{{"pid": {stranger.pid}, "started": "an earlier time"}}')
        assert processes.alive(tmp_path, "ours") is None
        assert not processes.terminate(tmp_path, "ours")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_broken_record_counts_as_no_process(tmp_path: Path) -> None:
    record = tmp_path / "run" / "ours.json"
    record.parent.mkdir()
    for text in ("", "[]", '{"pid": "many"}'):
        record.write_text(text)
        assert processes.alive(tmp_path, "ours") is None


def test_a_process_that_ignores_the_polite_signal_is_killed(tmp_path: Path) -> None:
    processes.start(tmp_path, "deaf", DEAF)
    log = processes.log_file(tmp_path, "deaf")
    processes.wait_ready(tmp_path, "deaf", lambda: "deaf" in log.read_text(), timeout_seconds=10)
    assert processes.terminate(tmp_path, "deaf", grace_seconds=0.2)
    assert processes.alive(tmp_path, "deaf") is None


def test_a_process_that_ended_by_itself_is_not_alive_though_it_was_never_reaped(
    tmp_path: Path,
) -> None:
    pid = processes.start(tmp_path, "sleeper", SLEEP)
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while processes.alive(tmp_path, "sleeper") is not None:
        assert time.monotonic() < deadline


def test_a_process_that_ends_while_it_starts_is_reported_with_the_end_of_its_log(
    tmp_path: Path,
) -> None:
    processes.start(tmp_path, "broken", [sys.executable, "-c", "raise SystemExit('no such port')"])
    with pytest.raises(StackError, match=r"broken ended while it started[\s\S]*no such port"):
        processes.wait_ready(tmp_path, "broken", lambda: False, timeout_seconds=10)


def test_a_program_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="could not be started"):
        processes.start(tmp_path, "missing", [str(tmp_path / "no-such-program")])


def test_a_port_that_is_free_is_kept_and_one_that_is_taken_is_replaced() -> None:
    kept = processes.usable_port()
    assert processes.usable_port(kept) == kept
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", kept))
        listener.listen()
        assert processes.usable_port(kept) != kept


def test_a_lock_lets_one_in_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "folder" / "lock"
    order: list[str] = []

    def second() -> None:
        with processes.locked(lock):
            order.append("second")

    with processes.locked(lock):
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.1)
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]


def test_a_private_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "password"
    processes.write_private(path, "one")
    processes.write_private(path, "two")
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o600
