"""Notices on their way to people: a real webhook, a real mail server, and bad days of both."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from crossdock.cli.ledger_view import list_loads
from crossdock.pipeline import Ending
from services.reporter.deliver import deliver_due, deliver_soon
from services.reporter.stage import STAGE as REPORTER
from shared.bus.port import Answer, Message
from shared.clock import now
from shared.ledger.mysql import Ledger
from shared.logs import set_up_logs
from shared.mysql.connect import Database
from shared.notice_rows import add
from shared.settings import Settings
from shared.stage import Parts, run_stage
from tests.drops import Drop, later
from tests.loads import run
from tests.receivers import (
    HANG_UP,
    PATIENCE_SECONDS,
    Mailbox,
    Webhook,
    mail_server,
    self_signed,
    webhook,
)

CANARY = "kanarie-5f1b"
FAILURE = {
    "code": "manifest.schema",
    "message": "…",
    "remedy": "…",
    "file": None,
    "row": None,
    "column": None,
}


@dataclass(frozen=True)
class Bench:
    """The stages' parts with both channels set, who receives, and the ledger."""

    parts: Parts
    hook: Webhook
    mailbox: Mailbox
    database: Database

    def set(self, **settings: Any) -> "Bench":
        """The same with other settings."""
        known = self.parts.settings.model_dump(exclude={"teams_webhook_url", "smtp_url"})
        secrets = {"teams_webhook_url": self.hook.url, "smtp_url": smtp_url(self.mailbox)}
        changed = Settings(**{**known, **secrets, **settings})
        parts = replace(self.parts, settings=changed, ledger=Ledger(changed))
        return replace(self, parts=parts)

    async def write(self, subject: str = "load-1", outcome: str = "failed") -> None:
        """Write notices as the reporter does, of a load that never was."""
        await add(
            self.database,
            self.parts.settings.notice_channels,
            subject=subject,
            run=1,
            outcome=outcome,
            bucket="drops",
            body={"load_id": subject, "source_system": "acme", "run": 1, "failure": FAILURE},
        )
        await self.database.execute("DELETE FROM notification WHERE channel = 'ack'")

    async def deliver(self) -> int:
        """One pass, in which everything that is left is due."""
        await self.database.execute("UPDATE notification SET next_attempt_at = NOW(6)")
        return await deliver_due(self.parts)

    async def left(self) -> list[str]:
        """The channels of the notices that are still to be given."""
        rows = await self.database.fetch_all(
            "SELECT channel FROM notification WHERE delivered_at IS NULL ORDER BY channel"
        )
        return [row["channel"] for row in rows]

    async def wait_until_left(self, channels: list[str]) -> None:
        """Look until just these channels have something to give."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self.left() != channels:  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.02)

    async def dead_channels(self) -> list[dict[str, Any]]:
        """What `crossdock status --json` says of channels."""
        document = await list_loads(self.parts.settings.mysql_url)
        return list(document["dead_channels"])


def smtp_url(mailbox: Mailbox, *, login: str = "", options: str = "?starttls=never") -> str:
    return f"smtp://{login}127.0.0.1:{mailbox.port}{options}"


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook(f"/workflows/1?sig={CANARY}") as opened:
        yield opened


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with mail_server() as opened:
        yield opened


@pytest.fixture
def bench(
    parts: Parts,
    hook: Webhook,
    mailbox: Mailbox,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> Bench:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
    plain = Bench(parts, hook, mailbox, database)
    return plain.set(
        email_to="ops@example.com, night@example.com", email_from="crossdock@example.com"
    )


async def test_a_reported_a_failed_and_a_refused_load_are_told_once_on_each_channel(
    bench: Bench, bucket_dir: Path
) -> None:
    good, bad = Drop(), Drop(load_id="load-2", created_at=later(1))
    bad.manifest_changes = {"source_system": "globex"}
    reused = Drop(created_at=later(2))
    endings = []
    for drop in (good, bad, reused, reused):
        drop.write(bucket_dir)
        endings.append((await run(bench.parts, drop)).ending)
    assert endings[:2] == [Ending.REPORTED, Ending.FAILED]
    assert await bench.left() == []

    cards = bench.hook.texts
    subjects = [str(mail["Subject"]) for mail in bench.mailbox.mails]
    for told in (cards, subjects):
        assert "load-1 of acme, run 1: reported" in told[0]
        assert "SECURITY: load-2 of acme, run 1: failed, manifest.partner_mismatch" in told[1]
        assert "imports/acme/load-1/manifest.json: refused, manifest.load_id_reused" in told[2]
    generations = {mail["Message-ID"] for mail in bench.mailbox.mails[2:]}
    assert len(cards) == len(subjects) == 2 + len(generations)
    for words in ("inserted", "updated", "unchanged", "stale", "rejected", "customers", "invoices"):
        assert words in cards[0]
        assert words in bench.mailbox.mails[0].as_string()
    assert "What to do" in cards[1]
    assert set(bench.hook.content_types) == {"application/json"}
    assert all(size < 28 * 1024 for size in bench.hook.sizes)
    assert bench.mailbox.receivers[0] == ["ops@example.com", "night@example.com"]


async def test_a_lost_answer_leads_to_one_more_send_and_the_mail_is_known_as_the_same(
    bench: Bench,
) -> None:
    bench.hook.answers.append(HANG_UP)
    bench.mailbox.hang_ups = 1
    await bench.write()
    assert await bench.deliver() == 1
    assert await bench.left() == ["email", "teams"]
    for _ in range(3):
        await bench.deliver()
    assert await bench.left() == []
    first, second = bench.mailbox.mails
    assert first["Message-ID"] == second["Message-ID"]
    assert len(bench.hook.received) == 2
    assert bench.hook.received[0] == bench.hook.received[1]


async def test_a_dead_channel_leaves_the_load_reported_and_shows_in_the_status_until_it_is_mended(
    bench: Bench, bucket_dir: Path
) -> None:
    bench.hook.answers.extend([404] * 3)
    drop = Drop()
    drop.write(bucket_dir)
    assert (await run(bench.parts, drop)).ending is Ending.REPORTED
    assert await bench.left() == ["teams"]
    assert len(bench.mailbox.mails) == 1
    (dead,) = await bench.dead_channels()
    assert (dead["channel"], dead["notices"]) == ("teams", 1)
    assert "127.0.0.1 answered 404" in dead["last_error"]
    assert dead["since"] <= now().isoformat()

    bench = bench.set(retry_base_seconds=100)
    delays = []
    for _ in range(2):
        await bench.deliver()
        delays.append(
            await bench.database.fetch_value(
                "SELECT TIMESTAMPDIFF(MICROSECOND, NOW(6), next_attempt_at) / 1000000 "
                "FROM notification WHERE channel = 'teams'"
            )
        )
    assert 150 < delays[0] <= 200
    assert 350 < delays[1] <= 400

    assert await bench.deliver() == 1
    assert await bench.dead_channels() == []
    load = await bench.parts.ledger.read("load-1")
    assert load is not None
    assert load.state == "reported"


async def test_a_slow_channel_holds_up_neither_the_others_nor_the_answer_to_a_message(
    bench: Bench,
) -> None:
    bench.mailbox.may_answer.clear()
    await bench.write()
    stage = replace(REPORTER, after=partial(deliver_soon, within_seconds=0.2))
    message = Message(b'{"load_id": "another"}', {}, "reporter.upserted", "1", now())
    assert await run_stage(stage, message, bench.parts) is Answer.DONE
    await bench.wait_until_left(["email"])
    assert await deliver_due(bench.parts) == 0, "it is in hand, and nobody else may send it"
    bench.mailbox.may_answer.set()
    await bench.wait_until_left([])
    assert len(bench.mailbox.mails) == 1


async def test_sweeps_side_by_side_give_each_notice_once(bench: Bench) -> None:
    for number in range(4):
        await bench.write(f"load-{number}")
    given = await asyncio.gather(*(deliver_due(bench.parts) for _ in range(4)))
    assert sum(given) == 4 * 3
    told = [text.splitlines()[0] for text in bench.hook.texts]
    assert len(told) == len(set(told)) == 4
    assert len({mail["Message-ID"] for mail in bench.mailbox.mails}) == 4
    assert len(bench.mailbox.mails) == 4


async def test_a_channel_that_fails_is_left_alone_for_the_rest_of_the_pass(bench: Bench) -> None:
    bench.hook.answers.append(500)
    for number in range(3):
        await bench.write(f"load-{number}")
    assert await bench.deliver() == 3 + 3
    assert len(bench.hook.received) == 1
    (dead,) = await bench.dead_channels()
    assert dead["notices"] == 3


async def test_a_channel_that_is_set_later_tells_of_nothing_that_was_before(bench: Bench) -> None:
    before = bench.set(teams_webhook_url=None)
    await before.write()
    assert await before.deliver() == 2
    assert await bench.deliver() == 0
    assert bench.hook.received == []


async def test_a_receiver_whom_the_server_refuses_does_not_keep_the_others_from_their_mail(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logs()
    bench.mailbox.unknown = frozenset({"night@example.com"})
    await bench.write()
    await bench.deliver()
    assert await bench.left() == []
    assert bench.mailbox.receivers == [["ops@example.com"]]
    (line,) = [
        line for line in capsys.readouterr().err.splitlines() if "notice.receivers_refused" in line
    ]
    assert json.loads(line)["receivers"] == ["night@example.com"]

    bench.mailbox.unknown |= {"ops@example.com"}
    await bench.write("load-2")
    await bench.deliver()
    (dead,) = await bench.dead_channels()
    assert "SMTPRecipientsRefused, answer 550 5.1.1" in dead["last_error"]


async def test_a_redirect_is_not_followed(bench: Bench) -> None:
    with webhook() as elsewhere:
        bench.hook.answers.append(307)
        bench.hook.location = elsewhere.url
        await bench.write()
        await bench.deliver()
        assert elsewhere.received == []
    assert await bench.left() == ["teams"]


async def test_no_mail_goes_over_a_line_that_others_can_read_unless_it_is_asked_for(
    bench: Bench,
) -> None:
    login = f"ops%40example.com:{CANARY}@"
    bench = bench.set(smtp_url=smtp_url(bench.mailbox, login=login, options=""))
    await bench.write()
    await bench.deliver()
    assert await bench.left() == ["email"]
    assert bench.mailbox.mails == []
    assert bench.mailbox.logins == []


async def test_a_login_is_sent_only_to_a_server_whose_certificate_is_trusted(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path / "server.pem")
    async with mail_server(certificate) as secured:
        login = f"ops%40example.com:{CANARY}@"
        bench = replace(bench, mailbox=secured)
        bench = bench.set(smtp_url=smtp_url(secured, login=login, options=""))
        await bench.write()
        await bench.deliver()
        assert await bench.left() == ["email"]
        assert secured.logins == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        await bench.deliver()
        assert await bench.left() == []
        assert secured.logins == [CANARY]
        assert len(secured.mails) == 1


async def test_no_secret_of_a_channel_is_written_down_whatever_goes_wrong(
    bench: Bench, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    set_up_logs("debug")
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.CRITICAL, "mail.log")  # the server's own, which quotes what it reads
    url = smtp_url(bench.mailbox, login=f"ops%40example.com:{CANARY}@")
    bench = bench.set(smtp_url=url)
    await bench.write()
    bench.mailbox.takes_logins = False
    bench.hook.answers.append(401)
    errors: set[str] = set()
    for others in ({}, {}, unreachable()):
        changed = bench.set(**{"smtp_url": url, **others})
        await changed.deliver()
        dead = await bench.dead_channels()
        errors |= {one["last_error"] for one in dead}
        bench.hook.answers.append(HANG_UP)
        assert CANARY not in repr(changed.parts)
        assert CANARY not in json.dumps(dead)
    assert bench.mailbox.logins
    assert set(bench.mailbox.logins) == {CANARY}
    assert any("SMTPAuthenticationError, answer 535 5.7.8" in error for error in errors)
    assert {"127.0.0.1: ConnectError", "127.0.0.1: RemoteProtocolError"} <= errors
    bench.hook.answers.clear()
    bench.mailbox.takes_logins = True
    await bench.deliver()
    assert await bench.left() == []
    logged = "".join(capsys.readouterr()) + caplog.text
    assert "notice.not_delivered" in logged
    assert "notice_given" in logged
    assert CANARY not in logged


def unreachable() -> dict[str, str]:
    """Settings by which both channels find nobody: nothing listens on port 1."""
    return {
        "teams_webhook_url": f"http://127.0.0.1:1/workflows/1?sig={CANARY}",
        "smtp_url": f"smtp://ops%40example.com:{CANARY}@127.0.0.1:1?starttls=never",
    }
