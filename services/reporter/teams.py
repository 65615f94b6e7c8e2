"""Posts cards to the webhook of a flow of Teams Workflows."""

import ssl
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import httpx

from services.reporter.card import card_message
from services.reporter.links import links_of
from services.reporter.summary import summarize
from shared.notices import NotDelivered, Notice
from shared.stage import Parts

ANSWER_SECONDS: Final = 20.0


async def post_card(notice: Notice, parts: Parts) -> None:
    """Post a notice as a card.

    Raises:
        NotDelivered: the webhook did not answer, or not with success.
    """
    settings = parts.settings
    assert settings.teams_webhook_url is not None, "a channel is used only where it is set"
    url = settings.teams_webhook_url.get_secret_value()
    host = urlsplit(url).hostname
    message = card_message(summarize(notice, links_of(notice, parts)))
    try:
        status = await _post(url, message)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotDelivered(f"{host}: {type(error).__name__}") from None
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise NotDelivered(f"{host} answered {status}; is the flow there, and is it turned on?")


async def _post(url: str, message: bytes) -> int:
    """Through the bare transport: a client logs each URL, secret and all, and follows redirects.

    SSL_CERT_FILE may name the database's authority: it is trusted beside the public ones, which the
    transport would forget for it.
    """
    request = httpx.Request(
        "POST",
        url,
        content=message,
        headers={"Content-Type": "application/json"},
        extensions={"timeout": httpx.Timeout(ANSWER_SECONDS).as_dict()},
    )
    async with httpx.AsyncHTTPTransport(verify=ssl.create_default_context()) as transport:
        response = await transport.handle_async_request(request)
        await response.aclose()
    return response.status_code
