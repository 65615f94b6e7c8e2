"""A notice in few words, for people: what a card and a mail both show. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Self

from services.reporter.render import COUNTS, as_number, harmless, rejects_of
from shared.notices import Notice, run_that_stands, verdict_on_replay

LONGEST_HEADLINE: Final = 300
LONGEST_REMARK: Final = 2_000
MOST_WARNINGS: Final = 10

_VERDICTS: Final = {
    "reported": "reported",
    "mismatch": "reported, but the counts do not reconcile",
    "failed": "failed",
    "refused": "refused",
}
_SECURITY: Final = "The folder spoke for another partner's source_system: find out who wrote to it."
_MISMATCH: Final = (
    "Something else has changed production. `crossdock report` shows which count is off; a replay "
    "from the upserter writes again what is missing."
)


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of a load or a manifest; every text is one line without control characters.

    Attributes:
        headline: the outcome in a line.
        tone: whether somebody has to look.
        facts: what identifies it, each with its name.
        remarks: why, where, what to do and what to know, each with its heading.
        counts: the rows by entity, as a table whose first line is its head; empty if none is known.
        links: where to look further, each with its title.
    """

    headline: str
    tone: Literal["good", "attention"]
    facts: tuple[tuple[str, str], ...]
    remarks: tuple[tuple[str, str], ...]
    counts: tuple[tuple[str, ...], ...]
    links: tuple[tuple[str, str], ...]

    def shortened(self, most: int) -> Self:
        """The same with remarks of at most `most` characters, and without the counts."""
        remarks = tuple((heading, _line(text, most)) for heading, text in self.remarks)
        return replace(self, remarks=remarks, counts=())


def summarize(notice: Notice, links: tuple[tuple[str, str], ...] = ()) -> Summary:
    """Put a notice into few words.

    Args:
        notice: the notice.
        links: where to look further, each with its title.
    """
    needs_a_look = notice.outcome != "reported"
    return Summary(
        headline=_line(_headline(notice), LONGEST_HEADLINE),
        tone="attention" if needs_a_look else "good",
        facts=_facts(notice),
        remarks=_remarks(notice),
        counts=_counts(notice.body.get("entities") or {}),
        links=links,
    )


def _headline(notice: Notice) -> str:
    subject = notice.subject
    if notice.outcome != "refused":
        subject = f"{subject} of {notice.body['source_system']}, run {notice.run}"
    standing = run_that_stands(notice.body)
    verdict = _VERDICTS[notice.outcome] if standing is None else verdict_on_replay(standing)
    said = f"{subject}: {verdict}"
    if notice.failure is not None:
        said += f", {notice.failure['code']}"
    return f"SECURITY: {said}" if notice.is_security_event else said


def _facts(notice: Notice) -> tuple[tuple[str, str], ...]:
    names = ("load_id", "source_system", "partner", "run", "generation", "state")
    known = {name: notice.body[name] for name in names if notice.body.get(name) is not None}
    if "finished_at" in notice.body:
        known["time"] = f"{notice.body['started_at']} to {notice.body['finished_at']}"
    known["notice"] = notice.number
    return tuple((name, _line(str(value), LONGEST_HEADLINE)) for name, value in known.items())


def _remarks(notice: Notice) -> tuple[tuple[str, str], ...]:
    remarks: list[tuple[str, str]] = []
    if notice.is_security_event:
        remarks.append(("Security", _SECURITY))
    if notice.failure is not None:
        remarks.append(("Why", notice.failure["message"]))
        places = ("file", "row", "column")
        where = [f"{name} {notice.failure[name]}" for name in places if notice.failure[name]]
        if where:
            remarks.append(("Where", ", ".join(where)))
        remarks.append(("What to do", notice.failure["remedy"]))
    rejects = rejects_of(notice.body)
    if rejects is not None:
        remarks.append(("Rejected rows", rejects))
    if notice.outcome == "mismatch":
        remarks.append(("What to do", _MISMATCH))
    warnings = notice.body.get("warnings") or []
    remarks += [("Warning", text) for text in warnings[:MOST_WARNINGS]]
    if len(warnings) > MOST_WARNINGS:
        remarks.append(("Warning", f"{len(warnings) - MOST_WARNINGS} more are in the report"))
    return tuple((heading, _line(text, LONGEST_REMARK)) for heading, text in remarks)


def _counts(entities: Mapping[str, Mapping[str, Any]]) -> tuple[tuple[str, ...], ...]:
    known = [name for name in COUNTS if any(one[name] is not None for one in entities.values())]
    if not known:
        return ()
    head = ("rows", *(_line(entity, LONGEST_HEADLINE) for entity in entities))
    lines = ((name, *(as_number(one[name]) for one in entities.values())) for name in known)
    return (head, *lines)


def _line(text: str, most: int) -> str:
    line = harmless(text).replace("\n", " ")
    return line if len(line) <= most else f"{line[: most - 1]}…"
