"""What the operations pages say of the database, done as they say, on the real MySQL."""

import re
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import pytest

from crossdock.stack import mysql_server
from shared.events import Topic
from shared.mysql import migrate as migrating
from shared.mysql.connect import Database
from shared.stage import Parts
from tests.drops import HEADERS, Drop
from tests.loads import replay, report, run
from tests.pages import code, page, section
from tests.production import content

ACCOUNT = "'crossdock_stager'@'%'"


def statements(name: str, heading: str) -> list[str]:
    """The SQL that a section of a page shows, one statement after the other."""
    blocks = code(section(page(name), heading), "sql")
    return [one for block in blocks for one in block.split(";\n") if one.strip()]


async def test_the_outbox_query_tells_what_waits_and_since_when(database: Database) -> None:
    (query,) = statements("docs/operations.md", "### Alert: outbox age")
    assert not await database.fetch_all(query)
    await database.execute(
        "INSERT INTO outbox (event_id, bucket, load_id, source_system, run, topic, body, "
        "created_at) VALUES (UUID(), 'drops', 'load-1', 'acme', 1, 'staged', '{}', '2026-01-01')"
    )
    (row,) = await database.fetch_all(query)
    assert (row["topic"], row["events"], str(row["oldest"])[:10]) == ("staged", 1, "2026-01-01")


async def test_notices_of_a_channel_that_was_given_up_are_told_off_by_hand(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    await run(parts, drop)
    await database.execute("UPDATE notification SET channel = 'teams', delivered_at = NULL LIMIT 1")
    (statement,) = statements("docs/operations.md", "## Notices")
    assert await database.execute(statement) == 1


async def test_a_password_is_rotated_while_both_work(database_url: str, database: Database) -> None:
    def accepts(password: str) -> bool:
        parts = urlsplit(database_url)
        login = f"crossdock_stager:{quote(password)}@{parts.hostname}:{parts.port}"
        return mysql_server.accepts_connections(urlunsplit(parts._replace(netloc=login)))

    new, end_old = statements("docs/operations/secrets.md", "## The MySQL password")
    (new_password,) = re.findall(r"BY '([^']+)'", new)
    await database.execute(f"CREATE USER {ACCOUNT} IDENTIFIED BY 'the old one'")
    try:
        assert accepts("the old one")
        await database.execute(new)
        assert accepts("the old one")
        assert accepts(new_password)
        await database.execute(end_old)
        assert not accepts("the old one")
        assert accepts(new_password)
    finally:
        await database.execute(f"DROP USER {ACCOUNT}")


async def test_a_load_without_its_staging_rows_is_whole_again_after_a_replay_from_the_stager(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    (statement,) = statements("docs/operations/partners.md", "## What grows")
    drop = Drop(load_id="2026-02-01")
    drop.write(bucket_dir)
    await run(parts, drop)
    before = await content(database)
    for name in HEADERS:
        deleting = statement.replace("staging_line_items", f"staging_{name}")
        assert await database.execute(deleting) == 3
    assert await content(database) != before

    await replay(parts, Topic.VALIDATED, drop.load_id)
    told = await report(database, drop.load_id)
    assert (told["run"], told["reconciled"]) == (2, True)
    assert await content(database) == before


async def test_a_service_of_the_release_before_stays_ready_on_a_newer_schema(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    *before, (newest, _) = migrating.migrations()
    monkeypatch.setattr(migrating, "migrations", lambda: before)
    assert newest not in dict(before)
    assert await migrating.schema_differences(database_url) == []
    assert await migrating.migrate(database_url) == []


async def test_rows_that_were_deleted_by_hand_are_written_again_by_a_replay_from_the_upserter(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    await run(parts, drop)
    before = await content(database)
    await database.execute("DELETE FROM line_items")
    await replay(parts, Topic.UPSERTED, drop.load_id)
    assert (await report(database))["reconciled"] is False

    await replay(parts, Topic.STAGED, drop.load_id)
    assert (await report(database))["reconciled"] is True
    assert await content(database) == before
