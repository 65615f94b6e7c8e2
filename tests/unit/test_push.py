"""The push endpoint: which body it takes, and how the handler's answer reaches Pub/Sub."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from shared.bus.port import Answer, Handler, Message
from shared.push import LARGEST_BODY_BYTES, TokenVerifier, create_push_router

ENVELOPE: dict[str, Any] = {
    "message": {
        "data": base64.b64encode(b'{"load_id": "load-1"}').decode(),
        "attributes": {"event": "staged"},
        "messageId": "17",
        "publishTime": "2026-01-02T03:04:05.678901Z",
    },
    "subscription": "projects/p/subscriptions/upserter.staged",
}


class Recorder:
    """A handler that keeps what it got and gives one answer."""

    def __init__(self, answer: Answer | Exception = Answer.DONE) -> None:
        self.got: list[Message] = []
        self._answer = answer

    async def __call__(self, message: Message) -> Answer:
        self.got.append(message)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


async def post(
    handler: Handler,
    body: bytes | AsyncIterator[bytes],
    *,
    verifier: TokenVerifier | None = None,
    authorization: str | None = None,
) -> httpx.Response:
    app = FastAPI()
    app.include_router(create_push_router(handler, verifier))
    headers = {} if authorization is None else {"Authorization": authorization}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://service"
    ) as client:
        return await client.post("/pubsub/push", content=body, headers=headers)


def envelope(**changes: object) -> bytes:
    return json.dumps({**ENVELOPE, "message": {**ENVELOPE["message"], **changes}}).encode()


async def test_a_push_becomes_the_message_that_was_published() -> None:
    handler = Recorder()
    response = await post(handler, envelope())
    assert (response.status_code, response.content) == (204, b"")
    assert handler.got == [
        Message(
            data=b'{"load_id": "load-1"}',
            attributes={"event": "staged"},
            subscription="projects/p/subscriptions/upserter.staged",
            message_id="17",
            published_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        )
    ]


async def test_both_spellings_of_an_envelope_are_one_delivery() -> None:
    handler = Recorder()
    message = dict(ENVELOPE["message"])
    message["message_id"] = message.pop("messageId")
    message["publish_time"] = message.pop("publishTime")
    await post(handler, json.dumps({**ENVELOPE, "message": message}).encode())
    await post(handler, envelope(message_id="17", orderingKey="", extra={"a": 1}))
    assert len(handler.got) == 2
    assert handler.got[0].delivery_key == handler.got[1].delivery_key


async def test_a_message_of_attributes_alone_has_empty_data() -> None:
    handler = Recorder()
    message = {key: value for key, value in ENVELOPE["message"].items() if key != "data"}
    response = await post(handler, json.dumps({**ENVELOPE, "message": message}).encode())
    assert response.status_code == 204
    assert handler.got[0].data == b""


@pytest.mark.parametrize(
    ("answer", "status"),
    [(Answer.DONE, 204), (Answer.RETRY, 503), (Answer.REFUSED, 400), (RuntimeError("a bug"), 503)],
    ids=str,
)
async def test_the_answer_decides_the_status(answer: Answer | Exception, status: int) -> None:
    response = await post(Recorder(answer), envelope())
    assert response.status_code == status
    assert "a bug" not in response.text
    assert status == 204 or list(response.json()) == ["error"]


async def test_a_bug_is_logged_as_an_error_with_its_stack() -> None:
    with capture_logs() as lines:
        await post(Recorder(RuntimeError("a bug")), envelope())
        await post(Recorder(Answer.RETRY), envelope())
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("push.handler_raised", "error")
    assert line["exc_info"] is True


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "Invalid JSON"),
        (b"load-1", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON"),
        (b"[]", "object"),
        (b'{"load_id": "load-1"}', "message: Field required"),
        (b'{"message": null, "subscription": "s"}', "message: "),
        (json.dumps({"message": ENVELOPE["message"]}).encode(), "subscription: Field required"),
        (envelope(data="not base64!"), "message.data: is not base64"),
        (envelope(data="YWJj\nYWJj"), "message.data: is not base64"),
        (envelope(data="é"), "message.data: is not base64"),
        (envelope(data=17), "message.data: must be base64 text"),
        (envelope(attributes={"run": {"deep": 1}}), "message.attributes.run: "),
        (envelope(publishTime="yesterday"), "message.publishTime: "),
        (envelope(publishTime="2026-01-02T03:04:05"), "message.publishTime: "),
        (envelope(publishTime="9999-12-31T23:59:59-23:00"), "message.publishTime: is no time"),
        (envelope(publishTime="0001-01-01T00:00:00+23:00"), "message.publishTime: is no time"),
        (envelope(messageId=""), "message.messageId: "),
    ],
)
async def test_what_is_no_envelope_is_refused_with_its_place(body: bytes, reason: str) -> None:
    handler = Recorder()
    response = await post(handler, body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error.startswith("not a push envelope: ")
    assert reason in error
    assert len(error) < 200
    assert handler.got == []


async def test_what_is_no_envelope_is_kept_only_of_a_caller_that_may_come_in() -> None:
    kept: list[tuple[bytes, str]] = []

    async def keep(body: bytes, why: str) -> None:
        kept.append((body, why))

    for verifier in (TokenVerifier("audience", "account"), None):
        app = FastAPI()
        app.include_router(create_push_router(Recorder(), verifier, path="/p", keep_refused=keep))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            statuses = [
                (await client.post("/p", content=body)).status_code for body in (b"[]", envelope())
            ]
        assert statuses == ([400, 204] if verifier is None else [401, 401])
        assert [body for body, _ in kept] == ([b"[]"] if verifier is None else [])
    assert kept[0][1].startswith("not a push envelope: ")


async def test_a_body_over_the_limit_is_refused_before_it_has_all_come() -> None:
    sent_bytes = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent_bytes
        while sent_bytes < 100 * LARGEST_BODY_BYTES:
            sent_bytes += 1024 * 1024
            yield b" " * 1024 * 1024

    handler = Recorder()
    response = await post(handler, endless())
    assert response.status_code == 400
    assert "over 10485760 bytes" in response.json()["error"]
    assert sent_bytes <= LARGEST_BODY_BYTES + 2 * 1024 * 1024
    assert handler.got == []


async def test_a_body_just_at_the_limit_is_read() -> None:
    handler = Recorder()
    body = envelope()
    response = await post(handler, body + b" " * (LARGEST_BODY_BYTES - len(body)))
    assert response.status_code == 204
    assert len(handler.got) == 1
