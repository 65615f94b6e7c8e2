"""The command line as scripts see it: commands, exit codes, what goes to stdout and stderr."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from google.auth.exceptions import DefaultCredentialsError
from typer.testing import CliRunner

from crossdock.cli import environment
from crossdock.cli.app import COMMANDS, CommandGroup, app, command_of
from crossdock.cli.errors import NotFound, WrongUsage
from crossdock.cli.output import Json
from crossdock.pack import DropNotFound
from crossdock.stack.errors import EmulatorMissingError
from shared.errors import Failure, Rejected, TransientFault
from shared.partners import PartnersError
from shared.settings import SettingsError
from tests.conftest import REPOSITORY
from tests.drops import Drop

NAMES = {
    *("up", "down", "migrate", "pack", "check", "upload", "run", "status", "report", "replay"),
    *("sweep", "doctor", "demo", "sample", "dead-letter"),
}
# Port 1 of the loopback interface: nothing listens there, and no root process needs to.
NO_MYSQL = "mysql://nobody:secret@127.0.0.1:1/nowhere"
FAR_AHEAD = "9000-01-01T00:00:00Z"
READING = (["status"], ["status", "L"], ["report", "L"], ["replay", "L", "--from", "stager"])

cli = CliRunner()


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither settings nor a running local stack of this machine."""
    for name in ("CROSSDOCK_MYSQL_URL", "CROSSDOCK_BUCKET", "CROSSDOCK_PARTNERS_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(environment, "STATE_DIR", tmp_path / "no-stack")


def test_the_help_lists_every_command_and_each_command_has_help() -> None:
    assert COMMANDS.keys() == NAMES
    listed = cli.invoke(app, ["--help"])
    assert listed.exit_code == 0
    for name in COMMANDS:
        assert name in listed.stdout
        helped = cli.invoke(app, [name, "--help"])
        assert helped.exit_code == 0
        first_words = (command_of(name).help or "").split(":")[0].split(",")[0]
        assert first_words in " ".join(helped.stdout.split())


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (WrongUsage("do it otherwise"), 2),
        (SettingsError("CROSSDOCK_MYSQL_URL is missing"), 2),
        (PartnersError("partners.toml is wrong"), 2),
        (Rejected(Failure.of("manifest.schema", "the key files is missing")), 3),
        (NotFound("no such load"), 4),
        (DropNotFound("no such folder"), 4),
        (TransientFault("MySQL does not answer"), 5),
        (EmulatorMissingError("the emulator is not installed"), 5),
        (DefaultCredentialsError("no credentials"), 5),  # type: ignore[no-untyped-call]
        (ZeroDivisionError("division by zero"), 1),
    ],
)
def test_every_kind_of_fault_has_its_exit_code_and_is_told_on_stderr(
    fault: Exception, code: int
) -> None:
    failing = typer.Typer(cls=CommandGroup)

    @failing.command()
    def fail(*, json: Json = False) -> None:
        raise fault

    @failing.command()
    def succeed() -> None:
        """So that there is more than one command."""

    result = cli.invoke(failing, ["fail"])
    assert result.exit_code == code
    assert result.stdout == ""
    assert str(fault) in result.stderr
    assert ("Traceback" in result.stderr) == (code == 1)
    asked_for_json = cli.invoke(failing, ["fail", "--json"])
    error = json.loads(asked_for_json.stdout)["error"]
    assert error["exit_code"] == asked_for_json.exit_code == code
    assert str(fault) in error["message"]
    assert asked_for_json.stderr == f"crossdock: {error['message']}\n"
    assert cli.invoke(failing, ["succeed"]).exit_code == 0


def test_a_rejection_says_what_to_do() -> None:
    rejected = Rejected(Failure.of("file.missing", "listed, but not there: invoices.csv"))
    failing = typer.Typer(cls=CommandGroup)

    @failing.callback()
    def begin() -> None:
        raise rejected

    @failing.command()
    def never() -> None:
        raise AssertionError

    assert rejected.failure.remedy in cli.invoke(failing, ["never"]).stderr


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["no-such-command"],
        ["status", "--no-such-option"],
        ["pack", "somewhere"],
        ["replay", "L"],
        ["run", "gs://bucket/elsewhere/L/"],
        ["run", "gs://bucket/imports/acme/L/", "--dry-run"],
        ["pack", ".", "--load-id", "L", "--source-system", "acme", "--created-at", "yesterday"],
        ["pack", ".", "--load-id", "L", "--source-system", "acme", "--created-at", FAR_AHEAD],
        ["pack", ".", "--load-id", "no load id", "--source-system", "acme"],
        ["pack", ".", "--load-id", "L", "--source-system", "no source_system"],
        *READING,
        ["sweep"],
        ["migrate"],
        ["run", "{drop}"],
        ["upload", "{drop}"],
    ],
)
def test_wrong_usage_and_missing_settings_end_with_2(wrong: list[str], tmp_path: Path) -> None:
    drop = Drop().write(tmp_path)
    result = cli.invoke(app, [word.format(drop=drop) for word in wrong])
    assert result.exit_code == 2, result.output


@pytest.mark.parametrize(
    "command", [*READING, ["sweep"], ["migrate"], ["run", "{drop}"], ["doctor"]]
)
def test_a_database_that_does_not_answer_ends_with_5(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSDOCK_MYSQL_URL", NO_MYSQL)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
    drop = Drop().write(tmp_path)
    result = cli.invoke(app, [word.format(drop=drop) for word in command])
    assert result.exit_code == 5, result.output
    assert "127.0.0.1:1" in result.output
    assert "secret" not in result.output


@pytest.mark.parametrize(
    ("wrong", "code", "problem"),
    [
        (["no-such-command", "--json"], 2, "no-such-command"),
        (["status", "--no-such-option", "--json"], 2, "--no-such-option"),
        (["pack", "somewhere", "--json"], 2, "--json"),
        (["check", ".", "--partner", "no folder", "--json"], 2, "no folder"),
        (["dead-letter", "list", "--json"], 2, "CROSSDOCK_MYSQL_URL"),
        (["check", "nowhere", "--json"], 4, "nowhere is no folder"),
    ],
)
def test_a_call_that_ends_without_a_result_still_prints_one_json_document(
    wrong: list[str], code: int, problem: str
) -> None:
    result = cli.invoke(app, wrong)
    assert result.exit_code == code
    assert problem in result.stderr
    error = json.loads(result.stdout)["error"]
    assert error["exit_code"] == code
    assert problem in error["message"]


@pytest.mark.parametrize("command", ["check", "upload", "run"])
def test_a_folder_without_a_drop_ends_with_4(command: str, tmp_path: Path) -> None:
    result = cli.invoke(app, [command, str(tmp_path)])
    assert result.exit_code == 4
    assert "manifest.json" in result.stderr


def test_a_drop_that_was_packed_is_found_good(tmp_path: Path) -> None:
    folder = Drop(load_id="L-7").write(tmp_path)
    (folder / "manifest.json").unlink()
    moment = "2026-01-01T00:00:00Z"
    words = ["--load-id", "L-7", "--source-system", "acme", "--created-at", moment]
    assert cli.invoke(app, ["pack", str(folder), *words]).exit_code == 0
    assert json.loads((folder / "manifest.json").read_text())["created_at"] == moment
    checked = cli.invoke(app, ["check", str(folder), "--json"])
    assert checked.exit_code == 0
    assert checked.stderr == ""
    verdict = json.loads(checked.stdout)
    assert (verdict["ok"], verdict["load_id"], verdict["failure"]) == (True, "L-7", None)
    assert verdict["entities"]["customers"]["rows"] == 3
    assert "would be taken" in cli.invoke(app, ["check", str(folder)]).stdout


def test_a_drop_that_would_be_rejected_ends_with_3_and_says_why(tmp_path: Path) -> None:
    drop = Drop()
    folder = drop.write(tmp_path)
    (folder / "customers.csv").write_bytes(drop.files["customers.csv"] + b"more\n")
    checked = cli.invoke(app, ["check", str(folder), "--json"])
    assert checked.exit_code == 3
    assert json.loads(checked.stdout)["failure"]["code"] == "file.checksum_mismatch"
    shown = cli.invoke(app, ["check", str(folder)])
    assert shown.exit_code == 3
    assert "file.checksum_mismatch" in shown.stdout
    assert "What to do" in shown.stdout


def test_the_doctor_tells_a_script_what_is_wrong_and_how_to_mend_it() -> None:
    result = cli.invoke(app, ["doctor", "--json"])
    assert result.exit_code == 5
    assert result.stderr == ""
    document = json.loads(result.stdout)
    assert document["ok"] is False
    checks = {check["check"]: check for check in document["checks"]}
    assert checks["python"]["ok"] is True
    assert checks["settings"]["ok"] is False
    assert "CROSSDOCK_MYSQL_URL" in checks["settings"]["detail"]
    assert all(check["ok"] or check["remedy"] for check in document["checks"])


def test_the_sweep_s_loop_outlives_its_faults_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    environ = {
        **os.environ,
        "CROSSDOCK_MYSQL_URL": NO_MYSQL,
        "CROSSDOCK_SWEEP_SECONDS": "0.05",
    }
    command = [sys.executable, "-m", "crossdock", "sweep", "--loop"]
    loop = subprocess.Popen(
        command, cwd=REPOSITORY, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert loop.stderr is not None
    passes = [json.loads(loop.stderr.readline()) for _ in range(3)]
    assert {line["message"] for line in passes} == {"sweep.pass_failed"}
    loop.terminate()
    printed, _ = loop.communicate(timeout=20)
    assert (loop.returncode, printed) == (0, b"")
