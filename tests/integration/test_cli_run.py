"""`crossdock run` and what the reading commands tell of it, on the real MySQL."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from crossdock import pack
from crossdock.cli import environment
from crossdock.cli.app import app
from crossdock.cli.local_bucket import bucket_of
from crossdock.stack import mysql_server
from infra.local import sample
from shared.contracts.model import contracts
from shared.mysql.connect import connect
from tests.conftest import REPOSITORY
from tests.drops import Drop
from tests.production import content, is_empty

CUSTOMERS = 30
LOAD_ID = "sample-1"

cli = CliRunner()


@pytest.fixture(autouse=True)
def url(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The test's own migrated database, named by the setting; no local stack of this machine."""
    monkeypatch.setenv("CROSSDOCK_MYSQL_URL", database_url)
    monkeypatch.setattr(environment, "STATE_DIR", tmp_path / "no-stack")
    return database_url


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    """A packed sample drop in a folder that is named like nothing in particular."""
    folder = tmp_path / "delivery"
    sample.generate(folder, seed=3, customers=CUSTOMERS)
    pack.pack(folder, LOAD_ID, "acme")
    return folder


def crossdock(*words: str | Path) -> Result:
    return cli.invoke(app, [str(word) for word in words])


def told(*words: str | Path, code: int = 0) -> dict[str, Any]:
    """The one document that a --json call prints, its exit code as expected."""
    result = crossdock(*words, "--json")
    assert result.exit_code == code, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def fetch(url: str, sql: str) -> list[dict[str, Any]]:
    async def ask() -> list[dict[str, Any]]:
        async with connect(url) as database:
            return list(await database.fetch_all(sql))

    return asyncio.run(ask())


def change(url: str, sql: str) -> None:
    async def do() -> None:
        async with connect(url) as database:
            assert await database.execute(sql)

    asyncio.run(do())


def production_is_empty(url: str) -> bool:
    async def look() -> bool:
        async with connect(url) as database:
            return is_empty(await content(database))

    return asyncio.run(look())


def flip_a_byte(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-2] ^= 1
    file.write_bytes(data)


def test_a_good_drop_is_loaded_and_its_report_reconciles(drop: Path) -> None:
    report = told("run", drop)
    assert report["load_id"] == LOAD_ID
    assert report["source_system"] == "acme"
    assert report["reconciled"] is True
    assert report["entities"]["customers"]["inserted"] == CUSTOMERS
    assert told("report", LOAD_ID) == report
    shown = crossdock("report", LOAD_ID)
    assert shown.exit_code == 0
    assert "reconciled" in shown.stdout


def test_a_load_that_was_reported_is_not_run_again(drop: Path) -> None:
    first = told("run", drop)
    assert told("run", drop) == first
    assert told("status", LOAD_ID)["run"] == 1


def test_a_folder_in_a_bucket_s_own_order_says_whose_it_is(tmp_path: Path) -> None:
    folder = Drop(load_id="L-7", partner="beta").write(tmp_path)
    assert told("run", folder)["source_system"] == "beta"
    assert told("status", "L-7")["folder"] == "imports/beta/L-7/"


def test_one_flipped_byte_fails_the_load_and_touches_nothing(drop: Path, url: str) -> None:
    flip_a_byte(drop / "customers.csv")
    report = told("run", drop, code=3)
    assert report["failure"]["code"] == "file.checksum_mismatch"
    assert production_is_empty(url)
    (load,) = told("status")["loads"]
    assert (load["load_id"], load["state"]) == (LOAD_ID, "failed")
    assert load["failure"]["code"] == "file.checksum_mismatch"
    assert load["failure"]["file"] == "customers.csv"
    assert load["failure"]["remedy"]
    shown = crossdock("run", drop)
    assert shown.exit_code == 3
    assert "file.checksum_mismatch" in shown.stdout


def test_a_drop_that_was_mended_runs_anew_and_its_history_tells_both_runs(drop: Path) -> None:
    good = (drop / "customers.csv").read_bytes()
    flip_a_byte(drop / "customers.csv")
    told("run", drop, code=3)
    (drop / "customers.csv").write_bytes(good)
    assert told("run", drop)["run"] == 2
    load = told("status", LOAD_ID)
    outcomes = [(line["run"], line["stage"], line["outcome"]) for line in load["milestones"]]
    assert outcomes[0] == (1, "validator", "failed")
    assert outcomes[-1] == (2, "reporter", "finished")
    assert [file["name"] for file in load["files"]] == [
        entity.file_name for entity in contracts()["v1"].entities
    ]
    assert load["failure"] is None
    shown = crossdock("status", LOAD_ID)
    assert shown.exit_code == 0
    for title in ("Stages", "Files", "Counts", "History"):
        assert title in shown.stdout


def test_another_manifest_under_a_load_that_was_applied_is_refused(drop: Path, url: str) -> None:
    told("run", drop)
    before = fetch(url, "SELECT * FROM customers")
    pack.pack(drop, LOAD_ID, "acme")
    refused = told("run", drop, code=3)
    assert (refused["state"], refused["reconciled"]) == ("refused", False)
    assert refused["failure"]["code"] == "manifest.load_id_reused"
    assert fetch(url, "SELECT * FROM customers") == before
    (arrival,) = told("status")["refused"]
    assert arrival["failure"]["code"] == "manifest.load_id_reused"
    assert told("report", LOAD_ID)["reconciled"] is True


def test_a_folder_that_can_be_no_load_is_refused_and_found_in_the_list(tmp_path: Path) -> None:
    folder = Drop(load_id="no load id").write(tmp_path)
    refused = told("run", folder, code=3)
    assert refused["failure"]["code"].startswith("manifest.load_id")
    (arrival,) = told("status")["refused"]
    assert "no load id" in arrival["object"]
    assert "no load id" in crossdock("status").stdout


def test_counts_that_do_not_reconcile_end_with_6(drop: Path, url: str) -> None:
    told("run", drop)
    report = {**told("report", LOAD_ID), "reconciled": False}
    change(url, f"UPDATE load_report SET report = '{json.dumps(report)}'")
    assert told("run", drop, code=6) == report
    assert told("report", LOAD_ID) == report


def test_a_live_lease_elsewhere_ends_with_5_and_says_whose(drop: Path, url: str) -> None:
    told("run", drop)
    change(
        url,
        "UPDATE load_ledger SET state = 'upserted', reported_run = NULL, "
        "lease_owner = 'reporter@elsewhere:1:ab', lease_until = NOW(6) + INTERVAL 60 SECOND",
    )
    result = crossdock("run", drop)
    assert result.exit_code == 5
    assert "reporter@elsewhere:1:ab" in result.stderr
    assert "held by reporter@elsewhere" in crossdock("status").stdout


def test_a_load_that_needs_attention_gets_it_by_running_it_again(drop: Path, url: str) -> None:
    told("run", drop)
    change(
        url,
        "UPDATE load_ledger SET state = 'upserted', reported_run = NULL, attempts = 10, "
        "needs_attention = TRUE, last_error = 'the disk was full'",
    )
    assert "the disk was full" in crossdock("status").stdout
    assert told("run", drop)["run"] == 2
    load = told("status", LOAD_ID)
    assert (load["state"], load["needs_attention"]) == ("reported", False)


def test_a_dry_run_tells_what_would_be_done_and_does_nothing(drop: Path, url: str) -> None:
    foretold = told("run", drop, "--dry-run")
    assert foretold["ok"] is True
    assert foretold["would"] == "begin run 1 of the load"
    status = told("status")
    assert (status["total"], status["loads"], status["refused"]) == (0, [], [])
    flip_a_byte(drop / "customers.csv")
    rejected = told("run", drop, "--dry-run", code=3)
    assert rejected["failure"]["code"] == "file.checksum_mismatch"
    assert rejected["would"] is None
    assert fetch(url, "SELECT * FROM arrival") == []


def test_a_load_of_a_folder_cannot_be_replayed_by_the_services(drop: Path) -> None:
    told("run", drop)
    refused = crossdock("replay", LOAD_ID, "--from", "upserter")
    assert refused.exit_code == 2
    assert str(drop) in refused.stderr


@pytest.mark.parametrize("command", [["status", "L"], ["report", "L"], ["replay", "L", "--from"]])
def test_an_unknown_load_ends_with_4(command: list[str]) -> None:
    words = [*command, "stager"] if command[0] == "replay" else command
    result = crossdock(*words)
    assert result.exit_code == 4
    assert "'L'" in result.stderr


def test_a_refused_manifest_is_named_where_its_load_is_asked_for(tmp_path: Path) -> None:
    partners = tmp_path / "partners.toml"
    partners.write_text('unknown_folders = "refuse"\n')
    folder = Drop(load_id="L-7").write(tmp_path)
    environ = {"CROSSDOCK_PARTNERS_FILE": str(partners)}
    result = cli.invoke(app, ["run", str(folder), "--json"], env=environ)
    assert result.exit_code == 3
    code = json.loads(result.stdout)["failure"]["code"]
    assert code == "partner.unknown"
    assert code in crossdock("status", "L-7").output


def test_migrate_brings_up_an_empty_database_and_may_be_repeated(
    mysql_server_url: str, monkeypatch: pytest.MonkeyPatch, drop: Path
) -> None:
    mysql_server.drop_database(mysql_server_url, "test_cli_migrate")
    empty = mysql_server.create_database(mysql_server_url, "test_cli_migrate")
    try:
        monkeypatch.setenv("CROSSDOCK_MYSQL_URL", empty)
        early = crossdock("run", drop)
        assert early.exit_code == 5
        assert "crossdock migrate" in early.stderr
        assert told("migrate")["applied"]
        assert told("migrate")["applied"] == []
        assert told("status")["total"] == 0
    finally:
        mysql_server.drop_database(mysql_server_url, "test_cli_migrate")


def test_a_real_process_prints_its_document_and_nothing_else(drop: Path, url: str) -> None:
    command = [sys.executable, "-m", "crossdock", "run", str(drop), "--json"]
    environ = {**os.environ, "CROSSDOCK_MYSQL_URL": url}
    done = subprocess.run(command, cwd=REPOSITORY, env=environ, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["reconciled"] is True
    assert done.stderr == b""


def test_the_doctor_finds_the_database_well(url: str) -> None:
    unreachable = {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:1", "PUBSUB_EMULATOR_HOST": "[::]:1"}
    result = cli.invoke(app, ["doctor", "--json"], env=unreachable)
    assert result.exit_code == 5
    checks = {check["check"]: check["ok"] for check in json.loads(result.stdout)["checks"]}
    assert {name for name, ok in checks.items() if not ok} == {"bucket", "pubsub"}
    assert checks["schema"] is True


def test_a_drop_moved_to_another_folder_goes_by_its_new_place(drop: Path, tmp_path: Path) -> None:
    flip_a_byte(drop / "customers.csv")
    told("run", drop, code=3)
    moved = tmp_path / "moved"
    shutil.move(drop, moved)
    told("run", moved, code=3)
    assert told("status", LOAD_ID)["bucket"] == bucket_of(moved)
