"""A stage as a web service: the push endpoint, the health of what it depends on, nothing else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp

from shared.bus.port import Answer, Message
from shared.cloud_parts import close_parts, connect_parts
from shared.dead_letters import keep_request
from shared.errors import TransientFault
from shared.events import Topic
from shared.http_headers import GuardedAnswers
from shared.ledger.takeover import Sight
from shared.logs import set_up_logs
from shared.memory import give_large_buffers_back
from shared.mysql.connect import connect
from shared.mysql.migrate import HISTORY, unapplied
from shared.mysql.own_rights import REMEDY, missing_rights, told, whoami
from shared.push import TokenVerifier, create_push_router, turn_away
from shared.settings import Settings, load_settings
from shared.stage import Parts, Stage, run_stage
from shared.sweep import Tell, sweep
from shared.telemetry.start import start_telemetry, stop_telemetry

TakeLetter = Callable[[Message, Parts], Awaitable[Answer]]

log = structlog.get_logger()


class _Service(FastAPI):
    def build_middleware_stack(self) -> ASGIApp:
        """The stack with the headers around all of it, so that an unforeseen error has them too."""
        return GuardedAnswers(super().build_middleware_stack())


def create_app(
    stage: Stage, *, after_sweep: Tell | None = None, take_letter: TakeLetter | None = None
) -> FastAPI:
    """The service of one stage; with `after_sweep` it also takes `POST /sweep` from a scheduler.

    With `take_letter` it takes dead letters too, by a path of their own.

    Raises:
        SettingsError: a setting is missing or wrong.
    """
    give_large_buffers_back()
    settings = load_settings(takes_pushes=True)
    set_up_logs(settings.log_level, service=stage.name, project=settings.project)
    start_telemetry(stage.name)
    parts = connect_parts(settings)
    verifier = _verifier(settings)
    in_hand: set[asyncio.Task[Answer]] = set()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        if in_hand:  # broken off by the server, and giving their loads back
            await asyncio.wait(in_hand)
        await close_parts(parts)
        # Its server ends the process by the signal that stopped it: nothing runs at its exit.
        await asyncio.to_thread(stop_telemetry)

    async def take(message: Message) -> Answer:
        work = asyncio.create_task(run_stage(stage, message, parts))
        in_hand.add(work)
        work.add_done_callback(in_hand.discard)
        return await work

    app = _Service(lifespan=lifespan, openapi_url=None, redirect_slashes=False)
    keep_refused = partial(keep_request, stage.name, settings.mysql_url)
    app.include_router(create_push_router(take, verifier, keep_refused=keep_refused))
    if take_letter is not None:
        app.include_router(
            create_push_router(
                lambda message: take_letter(message, parts),
                verifier,
                path=f"/pubsub/{Topic.DEAD_LETTER}",
                keep_refused=keep_refused,
            )
        )
    app.get("/health/live")(_live)
    app.get("/health/ready")(partial(_ready, stage.name, settings.mysql_url))
    if after_sweep is not None:
        app.post("/sweep")(partial(_sweep, parts, after_sweep, verifier))
    return app


def _verifier(settings: Settings) -> TokenVerifier | None:
    """Who looks at pushes' tokens; nobody where pushes come from an emulator, which has none."""
    if settings.push_audience and settings.push_service_account:
        return TokenVerifier(settings.push_audience, settings.push_service_account)
    return None


async def _live() -> dict[str, str]:
    return {"status": "live"}


async def _ready(account: str, mysql_url: str) -> Response:
    try:
        problem = await _problem(account, mysql_url)
    except TransientFault as fault:
        return _status(HTTPStatus.SERVICE_UNAVAILABLE, f"the database is unreachable: {fault}")
    return _status(HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK, problem or "ready")


async def _problem(account: str, mysql_url: str) -> str | None:
    """What keeps the service of this account from working on the database that answers."""
    async with connect(mysql_url, program_name="crossdock:ready") as database:
        missing = await missing_rights(database, account)
        if await unapplied(database) and HISTORY not in {right.on for right in missing}:
            return "the schema is not current: run `crossdock migrate`"
        if missing:
            return f"{told(await whoami(database), missing)}. {REMEDY}"
        problem = (await Sight.of(database)).problem
        return None if problem is None else str(problem)


async def _sweep(
    parts: Parts, tell: Tell, verifier: TokenVerifier | None, request: Request
) -> Response:
    refusal = await turn_away(request, verifier)
    if refusal is not None:
        return refusal
    try:
        swept = await sweep(parts, tell)
    except TransientFault as fault:
        log.warning("sweep.pass_failed", error=str(fault))
        return _status(HTTPStatus.SERVICE_UNAVAILABLE, str(fault))
    done = asdict(swept)
    if any(done.values()):
        log.info("sweep.pass", **done)
    return JSONResponse(done)


def _status(status: HTTPStatus, text: str) -> Response:
    return JSONResponse({"status": text}, status_code=status)
