"""The door of a service: a Pub/Sub push becomes a message, the handler's answer an HTTP status."""

import asyncio
import base64
import json
import re
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from google.auth import transport
from google.auth.exceptions import InvalidValue, TransportError
from google.auth.transport.requests import Request as HttpRequest
from google.oauth2 import id_token
from pydantic import (
    AfterValidator,
    AliasChoices,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)
from starlette.requests import ClientDisconnect

from shared.bus.port import Answer, Handler, Message
from shared.errors import TransientFault

LARGEST_BODY_BYTES = 10 * 1024 * 1024

KeepRefused = Callable[[bytes, str], Awaitable[None]]

_CLOCK_SKEW_SECONDS = 10
_CERTIFICATES_TIMEOUT_SECONDS = 10
_SHORTEST_CACHE_SECONDS = 60
_MAX_AGE = re.compile(r"max-age=(\d{1,9})")

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class TokenRefused(Exception):  # noqa: N818 - a verdict on the caller, not an error of ours
    """The token is not one that this service takes; the text says why, for the log only."""


class TokenVerifier:
    """Knows the pushes of our own subscriptions by the token that Google signs for them."""

    def __init__(
        self,
        audience: str,
        service_account: str,
        *,
        fetch: transport.Request | None = None,
    ) -> None:
        """Take tokens for `audience` and of `service_account`, and no others.

        `fetch` gets Google's certificates; by default over HTTPS.

        Raises:
            ValueError: no audience, or no account; tokens of or for anyone would be taken.
        """
        if not audience or not service_account:
            raise ValueError("a push token is checked for its audience and its account")
        self._audience = audience
        self._service_account = service_account
        self._fetch = _CertificateCache(HttpRequest() if fetch is None else fetch)

    async def verify(self, token: str) -> None:
        """Check signature, times, issuer, audience and account of an OIDC token.

        Raises:
            TokenRefused: it is not valid here.
            TransientFault: Google's certificates could not be had.
        """
        await asyncio.to_thread(self._verify, token)

    def _verify(self, token: str) -> None:
        try:
            claims = id_token.verify_oauth2_token(  # type: ignore[no-untyped-call]
                token, self._fetch, self._audience, clock_skew_in_seconds=_CLOCK_SKEW_SECONDS
            )
        except TransportError as fault:
            raise TransientFault(f"Google's certificates could not be had: {fault}") from fault
        except InvalidValue as fault:
            raise TokenRefused(str(fault)) from fault
        except Exception as fault:
            # A forged token may break its parser in any way, and the text may quote the token.
            raise TokenRefused(f"no token that Google signed ({type(fault).__name__})") from fault
        account = claims.get("email")
        if account != self._service_account or claims.get("email_verified") is not True:
            raise TokenRefused(f"signed for {account}, expected {self._service_account}")


class _CertificateCache(transport.Request):
    """Google's certificates, kept for as long as their answer allows."""

    def __init__(self, fetch: transport.Request) -> None:
        self._fetch = fetch
        self._answer: transport.Response | None = None
        self._good_until = 0.0
        self._lock = threading.Lock()

    def __call__(self, url: str, method: str = "GET", *_: Any, **__: Any) -> transport.Response:
        with self._lock:
            if self._answer is None or time.monotonic() >= self._good_until:
                answer = self._fetch(url, method=method, timeout=_CERTIFICATES_TIMEOUT_SECONDS)
                _require_certificates(answer)
                self._answer = answer
                self._good_until = time.monotonic() + _cache_seconds(answer)
            return self._answer


def _require_certificates(answer: transport.Response) -> None:
    try:
        usable = answer.status == HTTPStatus.OK and isinstance(json.loads(answer.data), dict)
    except ValueError:
        usable = False
    if not usable:
        reason = f"the answer, status {answer.status}, holds no certificates"
        raise TransportError(reason)  # type: ignore[no-untyped-call]


def _cache_seconds(answer: transport.Response) -> int:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    max_age = _MAX_AGE.search(headers.get("cache-control", ""))
    return max(int(max_age[1]) if max_age else 0, _SHORTEST_CACHE_SECONDS)


def _from_base64(text: object) -> bytes:
    if not isinstance(text, str):
        raise ValueError("must be base64 text")  # noqa: TRY004 - pydantic asks for it
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as fault:
        raise ValueError("is not base64") from fault


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as fault:
        raise ValueError("is no time of any calendar's") from fault


class PushedMessage(BaseModel):
    """The message inside an envelope; Pub/Sub writes some names in two ways."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    data: Annotated[bytes, BeforeValidator(_from_base64)] = b""
    attributes: dict[str, str] = Field(default_factory=dict)
    message_id: str = Field(
        validation_alias=AliasChoices("messageId", "message_id"), min_length=1, max_length=100
    )
    publish_time: Annotated[AwareDatetime, AfterValidator(_in_utc)] = Field(
        validation_alias=AliasChoices("publishTime", "publish_time")
    )


class PushEnvelope(BaseModel):
    """The standard body of a push."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    message: PushedMessage
    subscription: str = Field(min_length=1, max_length=350)

    def to_message(self) -> Message:
        """The delivery that the envelope carries."""
        return Message(
            data=self.message.data,
            attributes=self.message.attributes,
            subscription=self.subscription,
            message_id=self.message.message_id,
            published_at=self.message.publish_time,
        )


def create_push_router(
    handler: Handler,
    verifier: TokenVerifier | None,
    *,
    path: str = "/pubsub/push",
    keep_refused: KeepRefused | None = None,
) -> APIRouter:
    """`POST /pubsub/push` in front of the handler.

    | answer | status |
    |---|---|
    | DONE | 204 |
    | RETRY, an exception, Google's certificates out of reach | 503 |
    | REFUSED, no push envelope, a body over LARGEST_BODY_BYTES | 400 |
    | no token, a wrong one | 401, 403 |

    Without a verifier every caller is taken for Pub/Sub. A body that is no push envelope is given
    to `keep_refused` with the reason, if it came from a caller that may come in.
    """
    router = APIRouter()

    @router.post(path)
    async def push(request: Request) -> Response:
        refusal = await turn_away(request, verifier)
        if refusal is not None:
            return refusal
        try:
            body = await _read_body(request)
        except ClientDisconnect:
            return _refuse(HTTPStatus.BAD_REQUEST, "not a push envelope: the body broke off")
        try:
            message = _open(body)
        except ValueError as fault:
            reason = f"not a push envelope: {fault}"
            if keep_refused is not None:
                await keep_refused(body, reason)
            return _refuse(HTTPStatus.BAD_REQUEST, reason)
        return await _hand_over(message, handler)

    return router


async def turn_away(request: Request, verifier: TokenVerifier | None) -> Response | None:
    """The answer to a caller that may not come in; None if it may."""
    if verifier is None:
        return None
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return _refuse(HTTPStatus.UNAUTHORIZED, "a bearer token is needed")
    try:
        await verifier.verify(token.strip())
    except TokenRefused as refusal:
        _log.warning("push.token_refused", reason=str(refusal))
        return _refuse(HTTPStatus.FORBIDDEN, "the token is not valid for this service")
    except TransientFault as fault:
        _log.warning("push.token_unchecked", reason=str(fault))
        return _refuse(HTTPStatus.SERVICE_UNAVAILABLE, "the token cannot be checked now")
    return None


async def _read_body(request: Request) -> bytes:
    """The body, or of one that is too large a little more than may be."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY_BYTES:
            break
    return bytes(body)


def _open(body: bytes) -> Message:
    if len(body) > LARGEST_BODY_BYTES:
        raise ValueError(f"the body is over {LARGEST_BODY_BYTES} bytes")
    try:
        return PushEnvelope.model_validate_json(body).to_message()
    except ValidationError as fault:
        raise ValueError(_first(fault)) from fault


async def _hand_over(message: Message, handler: Handler) -> Response:
    try:
        answer = await handler(message)
    except Exception:  # noqa: BLE001 - whatever it raised, the message comes again
        _log.exception(
            "push.handler_raised", subscription=message.subscription, message_id=message.message_id
        )
        answer = Answer.RETRY
    match answer:
        case Answer.DONE:
            return Response(status_code=HTTPStatus.NO_CONTENT)
        case Answer.RETRY:
            return _refuse(HTTPStatus.SERVICE_UNAVAILABLE, "not taken now; deliver it again")
        case Answer.REFUSED:
            return _refuse(HTTPStatus.BAD_REQUEST, "no stage can take this message")


def _first(fault: ValidationError) -> str:
    error = fault.errors(include_input=False, include_url=False, include_context=False)[0]
    place = ".".join(map(str, error["loc"]))
    reason = error["msg"].removeprefix("Value error, ")
    return f"{place}: {reason}" if place else reason


def _refuse(status: HTTPStatus, reason: str) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if status is HTTPStatus.UNAUTHORIZED else None
    return JSONResponse({"error": reason}, status_code=status, headers=headers)
