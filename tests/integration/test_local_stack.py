"""Starting, mending and stopping the whole stack, with services that only say that they are ready.

MySQL, the emulators and the schema are the real ones; the end-to-end tests run the real services.
"""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from crossdock.stack import local, mysql_server, processes
from crossdock.stack.errors import EmulatorMissingError, StackError
from crossdock.stack.running import StackInfo, find_running
from shared.events import SUBSCRIPTIONS
from shared.settings import SettingsError

READY_APP = """
import os
from pathlib import Path
from fastapi import FastAPI
app = FastAPI()

@app.get("/health/ready")
def ready() -> dict[str, str]:
    names = ("CROSSDOCK_MYSQL_URL", "PUBSUB_EMULATOR_HOST", "STORAGE_EMULATOR_HOST", "PORT")
    return {name: os.environ[name] for name in names}
"""
SWEEP_LOOP = "import sys, time\nassert sys.argv[1:] == ['sweep', '--loop']\ntime.sleep(600)\n"


@pytest.fixture(scope="module")
def working_copy(stack_dir: Path) -> Path:
    """A working copy whose services do nothing."""
    root = stack_dir / "copy"
    for name in SUBSCRIPTIONS:
        folder = root / "services" / name
        folder.mkdir(parents=True)
        (folder / "app.py").write_text(READY_APP)
    (root / "crossdock").mkdir()
    (root / "crossdock" / "__main__.py").write_text(SWEEP_LOOP)
    return root


@pytest.fixture(scope="module")
def state_dir(stack_dir: Path, mysql_server_url: str, storage_emulator: str) -> Iterator[Path]:
    """A state folder of these tests' own, on a machine that has all the programs."""
    assert mysql_server_url
    assert storage_emulator
    folder = stack_dir / "stack"
    yield folder
    local.down(folder, purge=True)
    shutil.rmtree(folder, ignore_errors=True)


def pids(state_dir: Path) -> dict[str, int | None]:
    names = ("mysql", "pubsub", "storage", "sweep", *SUBSCRIPTIONS)
    return {name: processes.alive(state_dir, name) for name in names}


def test_a_stack_that_was_never_started_is_not_found_and_can_be_stopped(tmp_path: Path) -> None:
    assert find_running(tmp_path / "none") is None
    assert local.down(tmp_path / "none") == []


def test_a_wrong_setting_is_told_before_anything_starts(
    tmp_path: Path, working_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSDOCK_TEAMS_WEBHOOK_URL", "http://10.0.0.1/workflows/1")
    with pytest.raises(SettingsError, match="CROSSDOCK_TEAMS_WEBHOOK_URL"):
        local.up(tmp_path / "state", working_copy)
    assert not (tmp_path / "state").exists()


def test_all_parts_start_and_a_second_start_changes_nothing(
    state_dir: Path, working_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "CROSSDOCK_TEAMS_WEBHOOK_URL", "http://127.0.0.1:9/a-webhook-of-this-machine"
    )
    lines: list[str] = []
    info = local.up(state_dir, working_copy, progress=lines.append)
    running = pids(state_dir)
    assert None not in running.values()
    assert any(line.startswith("validator: starting") for line in lines)
    document = json.loads(json.dumps(info.to_json()))
    assert set(document) == {
        "mysql_url",
        "pubsub_emulator_host",
        "storage_emulator_host",
        "project",
        "bucket",
        "services",
    }
    assert set(document["services"]) == set(SUBSCRIPTIONS)
    assert document["services"]["stager"]["pid"] == running["stager"]
    assert StackInfo.from_json(document) == info
    assert local.up(state_dir, working_copy) == info
    assert pids(state_dir) == running
    assert find_running(state_dir) == info
    assert (state_dir / "stack.json").stat().st_mode & 0o777 == 0o600


def test_two_starts_at_once_make_one_stack(state_dir: Path, working_copy: Path) -> None:
    local.down(state_dir)
    with ThreadPoolExecutor(max_workers=2) as pool:
        first, second = pool.map(lambda _: local.up(state_dir, working_copy), range(2))
    assert first == second


@pytest.mark.parametrize("killed", ["stager", "sweep", "mysql", "pubsub", "storage"])
def test_only_the_part_that_died_is_started_again_and_at_its_old_address(
    state_dir: Path, working_copy: Path, killed: str
) -> None:
    info = local.up(state_dir, working_copy)
    before = pids(state_dir)
    os.kill(before[killed] or 0, signal.SIGKILL)
    again = local.up(state_dir, working_copy)
    after = pids(state_dir)
    assert {name for name in after if after[name] != before[name]} == {killed}
    assert again.environment() == info.environment()
    assert {name: service.url for name, service in again.services.items()} == {
        name: service.url for name, service in info.services.items()
    }


def test_services_that_stood_on_another_database_are_started_anew(
    state_dir: Path, working_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = local.up(state_dir, working_copy)
    before = pids(state_dir)
    mysql_server.drop_database(info.mysql_url, "another")
    other = mysql_server.create_database(info.mysql_url, "another")
    monkeypatch.setenv("CROSSDOCK_MYSQL_URL", other)
    assert local.up(state_dir, working_copy).mysql_url == other
    after = pids(state_dir)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {*SUBSCRIPTIONS, "sweep"}


def test_a_stop_keeps_the_data_and_a_purge_drops_it(state_dir: Path, working_copy: Path) -> None:
    info = local.up(state_dir, working_copy)
    mysql_server.drop_database(info.mysql_url, "kept")
    mysql_server.create_database(info.mysql_url, "kept")
    assert set(local.down(state_dir)) == set(pids(state_dir))
    assert set(pids(state_dir).values()) == {None}
    assert find_running(state_dir) is None
    again = local.up(state_dir, working_copy)
    assert again.environment() == info.environment()
    with pytest.raises(Exception, match="database exists"):
        mysql_server.create_database(again.mysql_url, "kept")
    stranger = state_dir / "somebody-elses"
    stranger.mkdir()
    local.down(state_dir, purge=True)
    assert sorted(path.name for path in state_dir.iterdir()) == ["somebody-elses", "up.lock"]


def test_a_service_that_cannot_start_is_reported_with_the_end_of_its_log(
    state_dir: Path, working_copy: Path
) -> None:
    app = working_copy / "services" / "upserter" / "app.py"
    app.write_text("raise SystemExit('partners.toml is missing')\n")
    try:
        with pytest.raises(StackError, match=r"upserter ended[\s\S]*partners\.toml is missing"):
            local.up(state_dir, working_copy)
    finally:
        app.write_text(READY_APP)
    local.down(state_dir)


def test_a_machine_without_the_emulator_is_told_so_before_anything_is_started(
    tmp_path: Path, working_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSDOCK_PUBSUB_EMULATOR", str(tmp_path / "nowhere"))
    with pytest.raises(EmulatorMissingError):
        local.up(tmp_path / "state", working_copy)
    assert set(pids(tmp_path / "state").values()) == {None}
