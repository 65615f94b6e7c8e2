"""`crossdock demo`: from upload to report, and nothing left, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pymysql
import pytest

from crossdock.stack import processes, running
from shared.mysql.connect import MySQLAddress
from tests.conftest import REPOSITORY

# The demo of this working copy, in a state folder of the test's own.
DEMO = """
import sys
from pathlib import Path
from crossdock.cli import demo, main
demo.STATE_DIR = Path(sys.argv.pop(1))
sys.argv.append("demo")
main()
"""
PARTS = ("mysql", "pubsub", "storage", running.SWEEP, *running.SERVICES)


def begin(state_dir: Path, **settings: str) -> subprocess.Popen[str]:
    named = {name: value for name, value in os.environ.items() if not name.startswith("CROSSDOCK_")}
    emulator = os.environ.get("CROSSDOCK_PUBSUB_EMULATOR")
    known = {"CROSSDOCK_PUBSUB_EMULATOR": emulator} if emulator else {}
    return subprocess.Popen(
        [sys.executable, "-c", DEMO, str(state_dir)],
        cwd=REPOSITORY,
        env={**named, **known, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until_runs(state_dir: Path, part: str) -> None:
    deadline = time.monotonic() + 60
    while processes.alive(state_dir / "demo", part) is None:
        assert time.monotonic() < deadline, f"{part} was never started"
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def _real_parts(pubsub_emulator_host: str, storage_emulator: str, mysql_server_url: str) -> None:
    """A machine that has all the programs; else these tests say nothing."""
    assert pubsub_emulator_host
    assert storage_emulator
    assert mysql_server_url


def test_the_sample_goes_from_upload_to_report_and_nothing_is_left(tmp_path: Path) -> None:
    demo = begin(tmp_path)
    printed, complaints = demo.communicate(timeout=100)
    assert demo.returncode == 0, complaints
    assert complaints == ""
    for words in ("local stack started", "uploaded to gs://", "reporter finished", "reconciled"):
        assert words in printed
    assert list(tmp_path.iterdir()) == []


def test_without_the_emulator_the_same_stages_run_and_it_says_how_to_get_it(
    tmp_path: Path,
) -> None:
    demo = begin(tmp_path, CROSSDOCK_PUBSUB_EMULATOR=str(tmp_path / "nowhere"))
    printed, complaints = demo.communicate(timeout=100)
    assert demo.returncode == 0, complaints
    assert "CROSSDOCK_PUBSUB_EMULATOR" in printed
    assert "reconciled" in printed
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_demo_leaves_nothing_running_and_no_state(tmp_path: Path) -> None:
    demo = begin(tmp_path)
    wait_until_runs(tmp_path, "stager")
    known = {name: processes.recorded(tmp_path / "demo", name) for name in PARTS}
    demo.terminate()
    demo.communicate(timeout=100)
    assert demo.returncode == 130
    assert list(tmp_path.iterdir()) == []
    assert not [name for name, it in known.items() if it is not None and it.alive()]


def test_what_a_killed_demo_left_is_gone_after_the_next_one(tmp_path: Path) -> None:
    killed = begin(tmp_path)
    wait_until_runs(tmp_path, "pubsub")
    left = processes.recorded(tmp_path / "demo", "pubsub")
    killed.kill()
    killed.communicate(timeout=100)
    demo = begin(tmp_path)
    demo.communicate(timeout=100)
    assert demo.returncode == 0
    assert left is not None
    assert not left.alive()
    assert list(tmp_path.iterdir()) == []


def test_two_demos_of_one_working_copy_do_not_meet(tmp_path: Path) -> None:
    first = begin(tmp_path)
    wait_until_runs(tmp_path, "mysql")
    second = begin(tmp_path)
    _, complaints = second.communicate(timeout=100)
    assert second.returncode == 5
    assert "another demo" in complaints
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=100)
    assert first.returncode == 130
    assert list(tmp_path.iterdir()) == []


def test_on_a_server_that_a_setting_names_the_demo_has_a_database_of_its_own(
    tmp_path: Path, mysql_server_url: str
) -> None:
    demo = begin(tmp_path, CROSSDOCK_MYSQL_URL=mysql_server_url)
    printed, complaints = demo.communicate(timeout=100)
    assert demo.returncode == 0, complaints
    assert "reconciled" in printed
    assert demo_databases(mysql_server_url) == set()
    assert list(tmp_path.iterdir()) == []


def demo_databases(url: str) -> set[str]:
    connection = pymysql.connect(**MySQLAddress.parse(url).arguments())
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW DATABASES LIKE 'crossdock_demo%'")
            return {str(name) for (name,) in cursor.fetchall()}
    finally:
        connection.close()
