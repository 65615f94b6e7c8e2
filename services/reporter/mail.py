"""A summary as a mail, in plain text and in HTML. Pure."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape

from services.reporter.summary import Summary
from shared.notices import Notice


def compose(
    summary: Summary,
    *,
    sender: str,
    recipients: Sequence[str],
    message_id: str,
    sent_at: datetime,
) -> EmailMessage:
    """The mail that tells a summary.

    Args:
        summary: what it tells.
        sender: the address that it comes from.
        recipients: the addresses that it goes to, all in one mail.
        message_id: see `message_id_of`.
        sent_at: its date, with a zone.
    """
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = ", ".join(recipients)
    mail["Subject"] = f"crossdock: {summary.headline}"
    mail["Date"] = format_datetime(sent_at)
    mail["Message-ID"] = message_id
    mail["Auto-Submitted"] = "auto-generated"
    if summary.tone == "attention":
        mail["Importance"] = "high"
    mail.set_content(as_plain_text(summary))
    mail.add_alternative(as_html(summary), subtype="html")
    return mail


def message_id_of(notice: Notice, *, bucket: str, sender: str) -> str:
    """The same for each attempt, so that a mail sent twice is known as one; else never the same."""
    told = f"{bucket}\n{notice.subject}\n{notice.run}\n{notice.outcome}"
    digest = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"<notice.{notice.number}.{digest}@{sender.rpartition('@')[2]}>"


def as_plain_text(summary: Summary) -> str:
    """The summary in lines, its counts in columns of one width each."""
    sections = [
        [summary.headline],
        [f"{heading}: {text}" for heading, text in summary.remarks],
        _in_columns(summary.counts),
        [f"{name}: {value}" for name, value in summary.facts],
        [f"{title}: {url}" for title, url in summary.links],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if any(lines)) + "\n"


def as_html(summary: Summary) -> str:
    """The summary as a page, with every text escaped."""
    parts = [f"<h2>{escape(summary.headline)}</h2>"]
    parts += [
        f"<p><b>{escape(heading)}:</b> {escape(text)}</p>" for heading, text in summary.remarks
    ]
    if summary.counts:
        head, *lines = summary.counts
        rows = [_row("th", head), *(_row("td", line) for line in lines)]
        parts.append(f'<table cellpadding="4">{"".join(rows)}</table>')
    facts = "<br>".join(f"{escape(name)}: {escape(value)}" for name, value in summary.facts)
    parts.append(f"<p><small>{facts}</small></p>")
    if summary.links:
        anchors = [f'<a href="{escape(url)}">{escape(title)}</a>' for title, url in summary.links]
        parts.append(f"<p>{' '.join(anchors)}</p>")
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"></head>\n<body>\n{body}\n'
        "</body></html>\n"
    )


def _in_columns(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            text.rjust(width) if place else text.ljust(width)
            for place, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]


def _row(tag: str, line: Sequence[str]) -> str:
    name, *numbers = line
    cells = [f'<th align="left">{escape(name)}</th>']
    cells += [f'<{tag} align="right">{escape(text)}</{tag}>' for text in numbers]
    return f"<tr>{''.join(cells)}</tr>"
