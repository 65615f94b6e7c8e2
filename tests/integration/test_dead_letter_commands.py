"""What the commands say of letters that wait, and which of them they publish."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from crossdock.cli import environment
from crossdock.cli.app import app
from shared.bus.port import Answer, Message
from shared.clock import now
from shared.dead_letters import take_letter
from shared.mysql.connect import Database
from shared.stage import Parts
from tests.conftest import PROJECT
from tests.drops import Drop
from tests.integration.test_dead_letters import dead, letters
from tests.loads import run


class Cli:
    """The command line on the test's database."""

    async def __call__(self, *words: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, list(words))


@pytest.fixture
def cli(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    monkeypatch.setenv("CROSSDOCK_MYSQL_URL", database_url)
    monkeypatch.setattr(environment, "STATE_DIR", tmp_path / "no-stack")
    return Cli()


async def test_whatever_a_message_holds_it_is_kept_and_listed(
    parts: Parts, database: Database, cli: Cli
) -> None:
    bodies = [
        b"",
        b"\0\xff",
        b"[" * 10_000,
        b'{"load_id": "a\\u0000b"}',
        b'{"load_id": "\xc3\xa9"}',
    ]
    for body in bodies:
        assert await take_letter(dead(body), parts) is Answer.DONE
    kept = await letters(database)
    assert [(one["data"], one["size_bytes"]) for one in kept] == [(it, len(it)) for it in bodies]
    assert {one["load_id"] for one in kept} == {None, "a\0b", "é"}
    listed = json.loads((await cli("dead-letter", "list", "--json")).stdout)
    assert max(len(one["body"]) for one in listed["letters"]) < 100


async def test_status_tells_of_letters_that_wait_and_of_a_folder_that_can_have_no_load(
    parts: Parts, bucket_dir: Path, database: Database, cli: Cli
) -> None:
    assert "letters" not in (await cli("status")).stdout
    drop = Drop(load_id="no load at all")
    drop.write(bucket_dir)
    await run(parts, drop)
    await take_letter(dead(), parts)
    (refused,) = json.loads((await cli("status", "--json")).stdout)["refused"]
    assert refused["object"] == f"{drop.prefix}manifest.json"
    assert refused["failure"]["code"] == "manifest.load_id_invalid"
    status = (await cli("status")).stdout
    assert "Manifests that were refused" in status
    assert "letters that wait: 1 (crossdock dead-letter list), 1 of them for" in status
    await database.execute("UPDATE dead_letter SET last_seen = NOW(6) - INTERVAL 8 DAY")
    assert "letters that wait" not in (await cli("status")).stdout


async def test_a_call_that_can_publish_nothing_says_so(
    cli: Cli, pubsub_emulator_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_emulator_host)
    for words, exit_code, said in (
        ((), 2, "--all"),
        (("1", "--all"), 2, "--all"),
        (("999",), 4, "no letter 999"),
        (("--all",), 0, "no letter waits"),
    ):
        result = await cli("dead-letter", "redrive", *words)
        assert result.exit_code == exit_code, result.output
        assert said in result.output


async def test_all_publishes_what_a_stage_could_take_and_leaves_the_rest(
    parts: Parts, cli: Cli, pubsub_emulator_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_emulator_host)
    monkeypatch.setenv("CROSSDOCK_PROJECT", PROJECT)
    await take_letter(dead(b"no json"), parts)
    await take_letter(Message(b'{"load_id": "x"}', {}, "reporter.dead-letter", "2", now()), parts)
    await take_letter(dead(), parts)
    result = await cli("dead-letter", "redrive", "--all")
    assert result.exit_code == 0, result.output
    assert "letter 2: left" in result.stdout
    assert "letter 3: published on staged" in result.stdout
    assert "letter 1" not in result.stdout
    listed = json.loads((await cli("dead-letter", "list", "--json")).stdout)
    assert listed["total"] == 3
    waiting = [one["letter"] for one in listed["letters"] if one["redriven_at"] is None]
    assert sorted(waiting) == [1, 2]
    assert "refused" in (await cli("dead-letter", "list")).stdout
    refused = await cli("dead-letter", "redrive", "3")
    assert refused.exit_code == 2
    assert "has not died since" in refused.stderr
