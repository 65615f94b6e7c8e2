"""A service that strangers can reach does not start unless it can tell Pub/Sub from them."""

from typing import Any

import pytest

from services.reporter.stage import STAGE
from shared.service import create_app
from shared.settings import Settings, SettingsError, load_settings

MYSQL_URL = "mysql://user@host/database"
BOTH = {
    "push_audience": "https://validator.example",
    "push_service_account": "pusher@project.iam.example",
}


def settings(**given: Any) -> Settings:
    """As a service reads them."""
    return load_settings(takes_pushes=True, mysql_url=MYSQL_URL, **given)


@pytest.fixture(autouse=True)
def _no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PUBSUB_EMULATOR_HOST", *(f"CROSSDOCK_{name.upper()}" for name in BOTH)):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("given", [{}, dict.fromkeys(BOTH, "")], ids=["unset", "empty"])
def test_outside_emulators_one_message_names_all_that_is_missing(given: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as refused:
        settings(**given, lease_seconds="0")
    said = str(refused.value)
    assert said.startswith("these settings are missing or wrong:")
    for name in (*BOTH, "lease_seconds"):
        assert f"CROSSDOCK_{name.upper()}: " in said
    assert "PUBSUB_EMULATOR_HOST" in said


@pytest.mark.parametrize("missing", BOTH)
def test_an_audience_without_an_account_is_not_enough_nor_the_other_way_round(
    missing: str,
) -> None:
    with pytest.raises(SettingsError, match=f"CROSSDOCK_{missing.upper()}"):
        settings(**{name: value for name, value in BOTH.items() if name != missing})


@pytest.mark.parametrize("missing", BOTH)
def test_beside_an_emulator_they_are_given_both_or_neither(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:8085")
    assert settings().push_audience is None
    assert settings(**BOTH).push_audience == BOTH["push_audience"]
    with pytest.raises(SettingsError, match="both, or neither"):
        settings(**{name: value for name, value in BOTH.items() if name != missing})


def test_a_pull_worker_and_a_command_take_no_requests_and_need_neither() -> None:
    assert load_settings(mysql_url=MYSQL_URL).push_audience is None


def test_the_service_itself_refuses_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSDOCK_MYSQL_URL", MYSQL_URL)
    with pytest.raises(SettingsError, match=r"CROSSDOCK_PUSH_AUDIENCE: .*is needed"):
        create_app(STAGE)
