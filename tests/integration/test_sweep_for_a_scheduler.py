"""`POST /sweep` of the reporter, as a scheduler calls it: what a pass did stands in the log."""

import json
from typing import Any

import httpx
import pytest

from crossdock.stack import topology
from services.reporter.deliver import deliver_due
from services.reporter.stage import STAGE
from shared.service import create_app
from shared.storage.gcs import GcsStorage
from tests.conftest import BUCKET
from tests.drops import Drop

PROJECT = "crossdock-sweep"


@pytest.fixture
def environment(
    database_url: str,
    pubsub_emulator_host: str,
    storage_emulator: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {
        "CROSSDOCK_MYSQL_URL": database_url,
        "CROSSDOCK_PROJECT": PROJECT,
        "CROSSDOCK_BUCKET": BUCKET,
        "PUBSUB_EMULATOR_HOST": pubsub_emulator_host,
        "STORAGE_EMULATOR_HOST": storage_emulator,
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    topology.create_topics(pubsub_emulator_host, PROJECT)


async def sweep() -> httpx.Response:
    app = create_app(STAGE, after_sweep=deliver_due)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://reporter") as scheduler:
        return await scheduler.post("/sweep")


def told(printed: str) -> list[dict[str, Any]]:
    """The lines about passes."""
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return [line for line in lines if line["message"].startswith("sweep.")]


@pytest.mark.usefixtures("environment")
async def test_a_pass_that_did_something_says_what(capsys: pytest.CaptureFixture[str]) -> None:
    drop = Drop(partner="swept", load_id="swept-1")
    storage = GcsStorage.connect(BUCKET, PROJECT)
    try:
        await storage.write(
            drop.prefix + "manifest.json", b"{}", content_type="application/json", overwrite=True
        )
    finally:
        await storage.close()
    answer = await sweep()
    assert answer.status_code == 200
    (line,) = told(capsys.readouterr().err)
    assert (line["message"], line["severity"]) == ("sweep.pass", "INFO")
    counts = {name: line[name] for name in ("woken", "published", "noticed", "told")}
    assert counts == answer.json()
    assert counts["noticed"] >= 1


@pytest.mark.usefixtures("environment")
async def test_a_pass_that_broke_off_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CROSSDOCK_MYSQL_URL", "mysql://u:p@127.0.0.1:1/d")
    answer = await sweep()
    assert answer.status_code == 503
    (line,) = told(capsys.readouterr().err)
    assert (line["message"], line["severity"]) == ("sweep.pass_failed", "WARNING")
    assert line["error"] == answer.json()["status"]
