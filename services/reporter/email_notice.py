"""Hands mails in at an SMTP server."""

import re
from typing import Final

import aiosmtplib
import structlog

from services.reporter.links import links_of
from services.reporter.mail import compose, message_id_of
from services.reporter.summary import summarize
from shared.clock import now
from shared.notices import NotDelivered, Notice
from shared.stage import Parts

ANSWER_SECONDS: Final = 20.0

_ENHANCED_CODE = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\b")

log = structlog.get_logger()


async def send_mail(notice: Notice, parts: Parts) -> None:
    """Send a notice as one mail to all receivers.

    A receiver that the server refuses, while it takes others, gets none; the log says so.

    Raises:
        NotDelivered: the server did not answer, or did not take the mail for anybody.
    """
    settings = parts.settings
    server, sender = settings.smtp_server, settings.sender
    assert server is not None, "a channel is used only where it is set"
    assert sender is not None, "the settings name one wherever mails are sent"
    mail = compose(
        summarize(notice, links_of(notice, parts)),
        sender=sender,
        recipients=settings.email_to,
        message_id=message_id_of(notice, bucket=parts.storage.bucket, sender=sender),
        sent_at=now(),
    )
    try:
        refused, _ = await aiosmtplib.send(
            mail,
            sender=sender,
            recipients=settings.email_to,
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.encryption == "tls",
            start_tls=server.encryption == "starttls",
            timeout=ANSWER_SECONDS,
        )
    except (aiosmtplib.SMTPException, OSError) as error:
        raise NotDelivered(f"{server.host}:{server.port}: {_reason(error)}") from None
    if refused:
        log.warning("notice.receivers_refused", subject=notice.subject, receivers=sorted(refused))


def _reason(error: Exception) -> str:
    """What went wrong, out of the answer's codes alone: a server may quote what it was sent."""
    first = error.recipients[0] if isinstance(error, aiosmtplib.SMTPRecipientsRefused) else error
    if not isinstance(first, aiosmtplib.SMTPResponseException):
        return type(error).__name__
    enhanced = _ENHANCED_CODE.search(first.message)
    codes = f"{first.code} {enhanced[0]}" if enhanced else str(first.code)
    return f"{type(error).__name__}, answer {codes}"
