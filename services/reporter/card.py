"""A summary as an Adaptive Card for Teams. Pure.

Every text stands in a text run: Teams reads Markdown and mentions in text blocks and facts, but not
there, so that no name can become a link, a format or a person.
"""

import json
from typing import Any, Final

from services.reporter.summary import Summary

CONTENT_TYPE: Final = "application/vnd.microsoft.card.adaptive"
# Teams takes 28 KB; what it counts beside the message itself is not told.
LONGEST_MESSAGE_BYTES: Final = 27_000
SHORTER_REMARKS: Final = (500, 200, 50)

Element = dict[str, Any]


def card_message(summary: Summary) -> bytes:
    """The message that a webhook of Teams Workflows takes, as JSON of at most 27,000 bytes.

    Where it would be longer, its counts are left out and its remarks are cut short.
    """
    message = _encoded(summary)
    for most in SHORTER_REMARKS:
        if len(message) <= LONGEST_MESSAGE_BYTES:
            break
        message = _encoded(summary.shortened(most))
    return message


def _encoded(summary: Summary) -> bytes:
    card: Element = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.5",
        "msteams": {"width": "Full"},
        "body": _body(summary),
    }
    if summary.links:
        card["actions"] = [
            {"type": "Action.OpenUrl", "title": title, "url": url} for title, url in summary.links
        ]
    attachment = {"contentType": CONTENT_TYPE, "contentUrl": None, "content": card}
    message = {"type": "message", "attachments": [attachment]}
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def _body(summary: Summary) -> list[Element]:
    body: list[Element] = [
        {
            "type": "Container",
            "style": summary.tone,
            "items": [_line(_run(summary.headline, weight="Bolder", size="Medium"))],
        }
    ]
    body += [
        _line(_run(f"{heading}: ", weight="Bolder"), _run(text))
        for heading, text in summary.remarks
    ]
    if summary.counts:
        body.append(_table(summary.counts))
    facts = ", ".join(f"{name} {value}" for name, value in summary.facts)
    body.append(_line(_run(facts, isSubtle=True, size="Small")))
    return body


def _table(counts: tuple[tuple[str, ...], ...]) -> Element:
    return {
        "type": "Table",
        "firstRowAsHeaders": True,
        "columns": [{"width": 1} for _ in counts[0]],
        "rows": [
            {
                "type": "TableRow",
                "cells": [{"type": "TableCell", "items": [_line(_run(text))]} for text in line],
            }
            for line in counts
        ],
    }


def _line(*runs: Element) -> Element:
    return {"type": "RichTextBlock", "inlines": list(runs)}


def _run(text: str, **looks: object) -> Element:
    return {"type": "TextRun", "text": text, **looks}
