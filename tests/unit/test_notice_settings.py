"""Where notices may go: the settings that are taken, and what is said of those that are not."""

from typing import Any

import pytest
from pydantic import ValidationError

from shared.settings import Settings, SettingsError, load_settings
from shared.smtp import SmtpServer, is_mail_address
from shared.webhook import HOST_SUFFIXES, check_webhook_url

CANARY = "kanarie-5f1b"
WORKFLOW = f"https://prod-1.westeurope.logic.azure.com:443/workflows/1/invoke?sig={CANARY}"
MAIL = {"smtp_url": f"smtp://ops%40example.com:{CANARY}@mail.example.com", "email_to": "a@b.c"}


def settings(**given: Any) -> Settings:
    return load_settings(mysql_url="mysql://user@host/database", **given)


@pytest.mark.parametrize("suffix", HOST_SUFFIXES)
def test_a_webhook_of_teams_workflows_is_taken(suffix: str) -> None:
    check_webhook_url(f"https://prod-1.a{suffix}:443/workflows/1?sig=x", loopback_allowed=False)
    with pytest.raises(ValueError, match="none that Teams Workflows"):
        check_webhook_url(f"https://{suffix[1:]}/workflows/1", loopback_allowed=False)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/workflows/1",
        "https://evil.example/.logic.azure.com",
        "https://evil.example?.logic.azure.com",
        "https://evil.example\\.logic.azure.com/",
        "https://evil.example#.logic.azure.com",
        "https://logic.azure.com.evil.example/",
        "https://evillogic.azure.com/",
        "https://a.logic.azure.com@evil.example/",
        "https://user:password@a.logic.azure.com/",
        "https://a.logic.azure.com:8443/",
        "https://a.logic.azure.com:none/",
        "https://a.logic.azure.com./",
        "https://a.logic.azure.com/ x",
        "https://a。logic.azure.com/",
        "http://a.logic.azure.com/",
        "http://127.0.0.1:8000/",
        "https://127.0.0.1/",
        "https://[::1",
        "ftp://a.logic.azure.com/",
        "",
    ],
)
def test_any_other_webhook_is_not(url: str) -> None:
    with pytest.raises(ValueError) as refused:
        check_webhook_url(url, loopback_allowed=False)
    assert not url or url not in str(refused.value)


def test_this_machine_may_take_cards_only_beside_an_emulator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    local = "http://127.0.0.1:8000/workflows/1"
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    with pytest.raises(SettingsError, match=r"TEAMS_WEBHOOK_URL.*PUBSUB_EMULATOR_HOST"):
        settings(teams_webhook_url=local)
    assert settings(before_emulators=True, teams_webhook_url=local).teams_webhook_url
    with pytest.raises(SettingsError):
        settings(teams_webhook_url=local)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:8085")
    assert settings(teams_webhook_url=local).notice_channels == ("log", "ack", "teams")
    for elsewhere in ("http://10.0.0.1/", "http://127.0.0.1.evil.example/", "http://evil.example/"):
        with pytest.raises(SettingsError):
            settings(teams_webhook_url=elsewhere)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://relay", ("relay", 587, "starttls", None, None)),
        ("smtp://u%40b.c:p%2Fw@relay:2525/", ("relay", 2525, "starttls", "u@b.c", "p/w")),
        ("smtps://u:p@relay", ("relay", 465, "tls", "u", "p")),
        ("smtp://relay:25?starttls=never", ("relay", 25, "none", None, None)),
        ("smtp://u:p@127.0.0.1:25?starttls=never", ("127.0.0.1", 25, "none", "u", "p")),
    ],
)
def test_a_mail_server_is_read_out_of_its_url(
    url: str, server: tuple[str, int, str, str | None, str | None]
) -> None:
    read = SmtpServer.parse(url)
    assert (read.host, read.port, read.encryption, read.user, read.password) == server


@pytest.mark.parametrize(
    "url",
    [
        f"smtp://u:{CANARY}@relay?starttls=never",
        f"smtps://u:{CANARY}@relay?starttls=never",
        f"smtp://u:{CANARY}@relay?starttls=",
        f"smtp://u:{CANARY}@relay?tls=off",
        f"smtp://u:{CANARY}/x@relay",
        f"smtp://u:{CANARY}@relay/path",
        f"smtp://u:{CANARY}@",
        f"smtp://{CANARY}@relay",
        f"http://u:{CANARY}@relay",
        f"smtp://u:{CANARY}@relay:port",
    ],
)
def test_any_other_url_of_a_mail_server_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError) as refused:
        SmtpServer.parse(url)
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("text", ["a", "a@", "a b@c", "a@b\n", "<a@b>", "a@b,c@d", "ä@b.c"])
def test_what_is_no_plain_mail_address_is_not_taken_for_one(text: str) -> None:
    assert not is_mail_address(text)


def test_all_settings_of_notices_that_are_wrong_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        settings(
            teams_webhook_url=f"https://evil.example/?{CANARY}",
            smtp_url="relay",
            email_to="nobody",
            email_from="nobody",
        )
    for name in ("TEAMS_WEBHOOK_URL", "SMTP_URL", "EMAIL_TO", "EMAIL_FROM"):
        assert f"CROSSDOCK_{name}: " in str(refused.value)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"smtp_url": "smtp://relay"}, "CROSSDOCK_EMAIL_TO"),
        ({"email_to": "a@b.c"}, "CROSSDOCK_SMTP_URL"),
        ({"smtp_url": "smtp://relay", "email_to": "a@b.c"}, "CROSSDOCK_EMAIL_FROM"),
        ({"smtp_url": "smtp://u:p@relay", "email_to": "a@b.c"}, "CROSSDOCK_EMAIL_FROM"),
    ],
)
def test_a_setting_that_lacks_its_other_half_is_refused_by_name(
    given: dict[str, str], named: str
) -> None:
    with pytest.raises(SettingsError, match=named):
        settings(**given)


def test_the_sender_is_the_one_that_is_set_or_else_the_mail_servers_user() -> None:
    assert settings(**MAIL).sender == "ops@example.com"
    assert settings(**MAIL, email_from="crossdock@b.c").sender == "crossdock@b.c"
    assert settings().sender is None


def test_several_receivers_stand_with_commas_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSDOCK_EMAIL_TO", "a@b.c, d@e.f")
    monkeypatch.setenv("CROSSDOCK_SMTP_URL", MAIL["smtp_url"])
    assert settings().email_to == ("a@b.c", "d@e.f")


def test_no_setting_shows_its_secret_and_no_complaint_about_it_either() -> None:
    taken = settings(teams_webhook_url=WORKFLOW, **MAIL)
    assert taken.notice_channels == ("log", "ack", "teams", "email")
    for text in (repr(taken), str(taken.model_dump()), repr(taken.smtp_server)):
        assert CANARY not in text
    wrong = {
        "teams_webhook_url": f"https://evil.example/?{CANARY}",
        "smtp_url": f"smtp://u:{CANARY}/@relay",
    }
    with pytest.raises(ValidationError) as bare:
        Settings(mysql_url="", **wrong)  # type: ignore[arg-type]
    with pytest.raises(SettingsError) as explained:
        settings(**wrong)
    assert CANARY not in f"{bare.value}{explained.value}{explained.value.__cause__}"
