"""The init step of the containers, on the real emulators and a real database."""

import uuid

import pytest
from google.cloud.pubsub_v1 import SubscriberClient

from crossdock.stack import mysql_server, prepare
from shared.events import DEAD_LETTER_SUBSCRIPTION, SUBSCRIPTIONS


@pytest.fixture
def project(
    mysql_server_url: str,
    pubsub_emulator_host: str,
    storage_emulator: str,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """A project of which the emulators know nothing, and an empty database for it."""
    name = f"prepared-{uuid.uuid4().hex[:8]}"
    url = mysql_server.create_database(mysql_server_url, name.replace("-", "_"))
    monkeypatch.setenv("CROSSDOCK_MYSQL_URL", url)
    monkeypatch.setenv("CROSSDOCK_PROJECT", name)
    monkeypatch.setenv("CROSSDOCK_BUCKET", name)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_emulator_host)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage_emulator)
    return name


def pushed_to(project: str) -> dict[str, str]:
    """Every subscription of a project, and where it pushes to."""
    with SubscriberClient() as subscriber:
        found = subscriber.list_subscriptions(project=f"projects/{project}")
        return {it.name.rpartition("/")[2]: it.push_config.push_endpoint for it in found}


def urls(port: int) -> list[str]:
    return [f"{name}=http://{name}:{port}" for name in SUBSCRIPTIONS]


def test_it_makes_all_that_services_need_and_repeated_it_points_them_anew(
    project: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare.main(urls(8080)) == 0
    assert "changes to the schema" in capsys.readouterr().err
    assert prepare.main(urls(9090)) == 0
    assert "the schema was current" in capsys.readouterr().err

    stages = {
        f"{service}.{topic}": f"http://{service}:9090/pubsub/push"
        for service, topics in SUBSCRIPTIONS.items()
        for topic in topics
    }
    letters = {DEAD_LETTER_SUBSCRIPTION: "http://reporter:9090/pubsub/dead-letter"}
    assert pushed_to(project) == {**stages, **letters, "reported.audit": ""}


@pytest.mark.parametrize("given", [[], urls(8080)[1:], [*urls(8080)[1:], "validator="]])
def test_a_service_without_a_url_is_named_in_what_it_says(
    project: str, given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare.main(given) == 1
    assert "validator=http://" in capsys.readouterr().err
    assert pushed_to(project) == {}


def test_without_emulators_nothing_is_prepared(
    project: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    assert prepare.main(urls(8080)) == 1
    assert "STORAGE_EMULATOR_HOST" in capsys.readouterr().err
    assert pushed_to(project) == {}
