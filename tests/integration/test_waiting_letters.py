"""Which letters wait for a person: `status`, `dead-letter list` and `redrive --all` agree."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from crossdock.cli import environment, output
from crossdock.cli.app import app
from shared.bus.port import Message
from shared.clock import now
from shared.dead_letters import keep_request, take_letter
from shared.gcs_notification import notification_of
from shared.stage import Parts
from tests.drops import Drop
from tests.integration.test_dead_letters import REPLAY, dead
from tests.loads import arrival, run


@pytest.fixture(autouse=True)
def command_line(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CROSSDOCK_MYSQL_URL", database_url)
    monkeypatch.setattr(environment, "STATE_DIR", tmp_path / "no-stack")


async def crossdock(*words: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, list(words))


async def test_a_letter_whose_load_has_gone_on_waits_no_more_wherever_one_looks(
    parts: Parts, bucket_dir: Path
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    await take_letter(dead(), parts)
    assert json.loads((await crossdock("status", "--json")).stdout)["letters_waiting"] == 1
    await run(parts, drop)
    assert "letters" not in (await crossdock("status")).stdout
    (letter,) = json.loads((await crossdock("dead-letter", "list", "--json")).stdout)["letters"]
    assert letter["standing"] == "overtaken"
    assert "its load has gone on" in (await crossdock("dead-letter", "list")).stdout
    assert (await crossdock("dead-letter", "redrive", "--all")).stdout == "no letter waits\n"

    await take_letter(dead(REPLAY.body()), parts)
    document = json.loads((await crossdock("status", "--json")).stdout)
    assert (document["letters_waiting"], document["letters_undelivered"]) == (1, 1)


async def test_a_notification_that_died_waits_until_its_manifest_was_decided_upon(
    parts: Parts, bucket_dir: Path
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    found = await arrival(parts, drop)
    attributes = {
        **notification_of(found.bucket, found.object_name, found.generation),
        "CloudPubSubDeadLetterSourceSubscription": "validator.manifest.arrived",
    }
    message = Message(b"{}", attributes, "reporter.dead-letter", "7", now())
    await take_letter(message, parts)
    for waiting in (1, 0):
        assert (
            json.loads((await crossdock("status", "--json")).stdout)["letters_waiting"] == waiting
        )
        await run(parts, drop)


async def test_letters_that_all_cannot_publish_are_counted_where_it_finds_none(
    parts: Parts,
) -> None:
    await take_letter(dead(b"no json"), parts)
    await keep_request("stager", parts.ledger.url, b"?", "not a push envelope")
    said = (await crossdock("dead-letter", "redrive", "--all")).stdout
    assert said.startswith("none that --all can publish; 2 of other kinds, see `crossdock dead-")
    assert (
        "letters that wait: 2 (crossdock dead-letter list), none of them for"
        in (await crossdock("status")).stdout
    )


async def test_eighty_columns_show_a_letter_whole(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "WIDTH_WITHOUT_TERMINAL", 80)
    await take_letter(dead(), parts)
    shown = (await crossdock("dead-letter", "list")).stdout
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    for words in ("undelivered", "from upserter.staged", "load load-1", "waits"):
        assert words in shown
