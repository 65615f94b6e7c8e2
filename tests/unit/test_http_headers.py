"""What every answer of every service carries, and that no service describes itself to strangers."""

import httpx
import pytest
from fastapi import FastAPI, Response

from services.reporter.stage import STAGE as REPORTER
from services.stager.stage import STAGE as STAGER
from services.upserter.stage import STAGE as UPSERTER
from services.validator.stage import STAGE as VALIDATOR
from shared.bus.port import Answer, Message
from shared.http_headers import HEADERS
from shared.service import create_app
from shared.stage import Parts, Stage
from tests.pages import ROOT

NOWHERE = "127.0.0.1:1"
ENVIRONMENT = {
    "CROSSDOCK_MYSQL_URL": f"mysql://user@{NOWHERE}/database",
    "PUBSUB_EMULATOR_HOST": NOWHERE,
    "STORAGE_EMULATOR_HOST": f"http://{NOWHERE}",
}


@pytest.fixture(params=[VALIDATOR, STAGER, UPSERTER, REPORTER], ids=lambda stage: stage.name)
def app(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    stage: Stage = request.param
    return create_app(stage, after_sweep=tell_nobody, take_letter=take_none)


async def tell_nobody(_parts: Parts) -> int:
    return 0


async def take_none(_message: Message, _parts: Parts) -> Answer:
    return Answer.DONE


async def ask(app: FastAPI, method: str, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return await client.request(method, path)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health/live", 200),
        ("GET", "/health/ready", 503),
        ("POST", "/pubsub/push", 400),
        ("POST", "/pubsub/dead-letter", 400),
        ("POST", "/sweep", 503),
        ("GET", "/pubsub/push", 405),
        ("GET", "/nothing", 404),
        ("GET", "/health/live/", 404),
        ("GET", "/broken", 500),
    ],
)
async def test_every_answer_has_the_headers(
    app: FastAPI, method: str, path: str, status: int
) -> None:
    async def broken() -> None:
        raise RuntimeError("hidden-value")

    app.get("/broken")(broken)
    answer = await ask(app, method, path)
    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert "hidden-value" not in answer.text


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"])
async def test_no_service_describes_itself(app: FastAPI, path: str) -> None:
    assert (await ask(app, "GET", path)).status_code == 404


async def test_a_page_that_says_what_it_needs_keeps_its_word(app: FastAPI) -> None:
    own = {"content-security-policy": "default-src 'none'; style-src 'self'"}

    async def page() -> Response:
        return Response("<p>", media_type="text/html", headers=own)

    app.get("/page")(page)
    answer = await ask(app, "GET", "/page")
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS | own


@pytest.mark.parametrize("starter", ["infra/containers/bin/service", "crossdock/stack/local.py"])
def test_whatever_starts_a_service_leaves_out_what_serves_it(starter: str) -> None:
    assert "--no-server-header" in (ROOT / starter).read_text(encoding="utf-8")
