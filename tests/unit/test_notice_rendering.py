"""Notices as cards and mails: all that people need, and no name that takes effect."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from string import ascii_letters, digits
from typing import Any

import pytest

from services.reporter.card import CONTENT_TYPE, LONGEST_MESSAGE_BYTES, card_message
from services.reporter.deliver import LEASE_SECONDS, SEND_SECONDS, delay_seconds
from services.reporter.links import Links, console_links, links_of
from services.reporter.mail import as_html, as_plain_text, compose, message_id_of
from services.reporter.summary import summarize
from shared.bus.memory import MemoryBus
from shared.errors import Failure
from shared.ledger.mysql import Ledger
from shared.notices import Notice
from shared.partners import Partners
from shared.settings import Settings
from shared.stage import Parts
from shared.storage.directory import DirectoryStorage
from tests.receivers import text_runs
from tests.unit.test_report_render import COUNTS, report

HOSTILE = (
    '<script>a()</script> [x](http://evil.example) **b** <at>everyone</at> "\r\nBcc: a@b\x1b\u202e'
)
FAILURE = Failure.of(
    "csv.field_count", "row 7 has 3 fields", file="invoices.csv", row=7, column=None
).to_json()


def notice(outcome: str = "reported", **facts: Any) -> Notice:
    known = {"number": 17, "subject": "2026-02-01", "run": 2, "attempts": 1}
    body = facts.pop("body", None) or report()
    return Notice(outcome=outcome, body=body, **{**known, **facts})


def failed(**failure: Any) -> Notice:
    return notice("failed", body=report(state="failed", failure={**FAILURE, **failure}))


def card_of(told: Notice, links: Links = ()) -> dict[str, Any]:
    message = json.loads(card_message(summarize(told, links)))
    (attachment,) = message["attachments"]
    assert message["type"] == "message"
    assert attachment["contentType"] == CONTENT_TYPE
    card: dict[str, Any] = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.5")
    return card


def mail_of(told: Notice) -> EmailMessage:
    return compose(
        summarize(told),
        sender="crossdock@example.com",
        recipients=["ops@example.com", "night@example.com"],
        message_id=message_id_of(told, bucket="drops", sender="crossdock@example.com"),
        sent_at=datetime(2026, 2, 1, 10, tzinfo=UTC),
    )


def shown_in(told: Notice) -> list[str]:
    """The words of a notice in each of its forms."""
    summary = summarize(told)
    return ["\n".join(text_runs(card_of(told))), as_plain_text(summary), as_html(summary)]


def test_every_count_of_every_entity_is_told() -> None:
    for text in shown_in(notice()):
        for word in ("2026-02-01 of acme, run 2: reported", "customers", *COUNTS, "1,234", "1,200"):
            assert word in text


def test_a_failure_is_told_with_its_code_its_place_and_its_remedy() -> None:
    for text in shown_in(failed()):
        for word in ("failed, csv.field_count", "row 7 has 3 fields", "file invoices.csv, row 7"):
            assert word in text
        assert FAILURE["remedy"][:40] in text


def test_counts_that_nobody_knows_are_left_out() -> None:
    unknown: dict[str, int | None] = dict.fromkeys(COUNTS)
    for text in shown_in(partly({**unknown, "manifest": 5})):
        assert "manifest" in text
        assert "inserted" not in text
    for text in shown_in(partly(unknown)):
        assert "customers" not in text


def partly(counts: dict[str, int | None]) -> Notice:
    return notice(body=report(entities={"customers": counts}))


def test_a_load_that_does_not_reconcile_says_what_to_do() -> None:
    for text in shown_in(notice("mismatch", body=report(reconciled=False))):
        assert "do not reconcile" in text
        assert "crossdock report" in text


def test_a_folder_that_speaks_for_another_partner_is_marked_first_of_all() -> None:
    told = failed(code="manifest.partner_mismatch")
    for text in shown_in(told):
        assert "SECURITY: 2026-02-01" in text
    assert str(mail_of(told)["Subject"]).startswith("crossdock: SECURITY:")
    assert not any("SECURITY" in text for text in shown_in(failed()))


def test_a_refused_manifest_is_told_by_its_name_and_generation() -> None:
    body = {"load_id": "x", "partner": "acme", "generation": "123", "failure": FAILURE}
    told = notice("refused", subject="imports/acme/x/manifest.json", run=123, body=body)
    for text in shown_in(told):
        for word in ("imports/acme/x/manifest.json: refused", "123", "partner", "acme"):
            assert word in text


def test_a_warning_is_told_and_of_many_that_there_are_more() -> None:
    told = notice(body=report(warnings=[f"warning {number}" for number in range(30)]))
    for text in shown_in(told):
        assert "warning 9" in text
        assert "warning 10" not in text
        assert "20 more are in the report" in text


LINKS = console_links(notice(body=report(partner="acme", folder="imports/acme/L/")), "drops", "p")


def test_the_links_lead_to_the_drop_its_acks_and_its_log_lines() -> None:
    console = "https://console.cloud.google.com"
    assert dict(LINKS) == {
        "Drop": f"{console}/storage/browser/drops/imports/acme/L/",
        "Acks": f"{console}/storage/browser/drops/acks/acme/2026-02-01/",
        "Logs": f"{console}/logs/query;query=jsonPayload.load_id%3D%222026-02-01%22"
        "%20timestamp%3E%3D%222026-02-01T10%3A00%3A00.000000Z%22?project=p",
    }
    told = notice()
    actions = card_of(told, LINKS)["actions"]
    assert [(one["type"], one["title"], one["url"]) for one in actions] == [
        ("Action.OpenUrl", *link) for link in LINKS
    ]
    for title, url in LINKS:
        assert f"{title}: {url}" in as_plain_text(summarize(told, LINKS))
        assert f'<a href="{escape(url)}">{title}</a>' in as_html(summarize(told, LINKS))
    assert "actions" not in card_of(told)
    assert "href" not in as_html(summarize(told))


def test_no_name_of_a_refused_manifest_leads_elsewhere() -> None:
    name = '../"/?#;\n'
    body = {"load_id": name, "partner": "acme", "object": f"imports/acme/{name}/manifest.json"}
    told = notice("refused", body={**body, "generation": "1", "failure": FAILURE})
    links = dict(console_links(told, "drops", "p"))
    assert list(links) == ["Acks", "Logs"]
    odd = "%252E%252E%252F%2522%252F%253F%2523%253B%250A"
    assert links["Acks"].endswith(f"/browser/drops/acks/acme/{odd}/")
    assert set(links["Logs"]) - set("/:.;=?%-_~") <= set(ascii_letters + digits)


def test_an_emulator_and_a_folder_have_no_console(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(mysql_url="mysql://u:p@h/d")
    storage = DirectoryStorage(tmp_path, "drops")
    parts = Parts(settings, storage, MemoryBus(), Ledger(settings), Partners())
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    assert [title for title, _ in links_of(failed(), parts)] == ["Drop", "Acks", "Logs"]
    mounted = DirectoryStorage.mounting(tmp_path, "imports/acme/L/", bucket="file://here/drop")
    assert links_of(failed(), replace(parts, storage=mounted)) == ()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    assert links_of(failed(), parts) == ()


def hostile() -> Notice:
    return notice(
        "failed",
        subject=HOSTILE,
        body=report(
            load_id=HOSTILE,
            source_system=HOSTILE,
            entities={HOSTILE: COUNTS},
            failure={**FAILURE, "message": HOSTILE, "file": HOSTILE, "column": HOSTILE},
            warnings=[HOSTILE],
        ),
    )


def nodes(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from nodes(item)
    elif isinstance(value, dict):
        yield value
        for item in value.values():
            yield from nodes(item)


def test_every_text_of_a_card_stands_where_teams_reads_no_markdown_and_no_mention() -> None:
    card = card_of(hostile())
    holders = {node["type"] for node in nodes(card) if "text" in node}
    assert holders == {"TextRun"}
    assert set(card["msteams"]) == {"width"}
    assert any("<at>everyone</at>" in text for text in text_runs(card))


class Tags(HTMLParser):
    """The tags and the text that a mail program sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_no_name_is_markup_in_a_mail() -> None:
    plain, bad = Tags(as_html(summarize(failed()))), Tags(as_html(summarize(hostile())))
    assert bad.tags == plain.tags
    assert "<script>a()</script>" in bad.text


def test_no_name_is_a_header_of_a_mail() -> None:
    mail = mail_of(hostile())
    assert "Bcc" not in mail
    assert set(mail.keys()) == set(mail_of(failed()).keys())
    head, _, _ = mail.as_bytes().partition(b"\r\n\r\n")
    assert not any(line.startswith(b"Bcc") for line in head.split(b"\r\n"))


def test_no_control_character_comes_through() -> None:
    for text in shown_in(hostile()):
        assert "Bcc: a@b" in text
        assert not {"\x1b", "\u202e", "\r"} & set(text)


def test_a_mail_is_text_and_page_and_says_that_a_machine_wrote_it() -> None:
    mail = mail_of(failed())
    assert mail["To"] == "ops@example.com, night@example.com"
    assert mail["From"] == "crossdock@example.com"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"] == "Sun, 01 Feb 2026 10:00:00 +0000"
    parts = [part.get_content_type() for part in mail.iter_parts()]
    assert parts == ["text/plain", "text/html"]


def test_a_mail_is_known_again_by_its_id_and_no_other_has_it() -> None:
    def message_id(bucket: str = "drops", **facts: Any) -> str:
        return message_id_of(notice(**facts), bucket=bucket, sender="a@example.com")

    assert message_id() == message_id(attempts=5)
    others = [
        message_id(bucket="other"),
        message_id(number=18),
        message_id(subject="b"),
        message_id(run=3),
        message_id(outcome="mismatch"),
    ]
    assert len({message_id(), *others}) == 6
    assert message_id().endswith("@example.com>")


@pytest.mark.parametrize("text", ["x", "\N{AUTOMOBILE}", '"\\', "\ud800", "\n"])
@pytest.mark.parametrize("entities", [1, 100])
def test_a_card_is_never_too_large_and_never_without_its_headline(text: str, entities: int) -> None:
    huge = report(
        source_system=text * 5_000,
        entities={f"{text}{number}": COUNTS for number in range(entities)},
        failure={**FAILURE, "message": text * 4_000, "remedy": text * 4_000, "file": text * 255},
        warnings=[text * 5_000] * 50,
    )
    told = notice("failed", subject="2026-02-01", body=huge)
    message = card_message(summarize(told, LINKS))
    assert len(message) <= LONGEST_MESSAGE_BYTES
    first, *_ = text_runs(json.loads(message))
    assert first.startswith("2026-02-01 of")


def test_a_send_ends_before_its_lease_and_pauses_double_up_to_an_hour() -> None:
    assert SEND_SECONDS < LEASE_SECONDS
    assert [delay_seconds(attempts, 2) for attempts in (1, 2, 3, 10)] == [2, 4, 8, 1024]
    assert [delay_seconds(attempts, 2) for attempts in (12, 13, 100, 100_000)] == [3600] * 4
