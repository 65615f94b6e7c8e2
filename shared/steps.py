"""The numbered steps on a load's way: one name for logs, pages and tests that strike there."""

from typing import Final

import structlog

from shared.telemetry import tracing

log = structlog.get_logger()

# After each of these something new is true that a crash must not undo or double.
STEPS: Final[dict[str, tuple[str, ...]]] = {
    "validator": (
        "manifest_noticed",
        "admitted",
        "claimed",
        "predecessor_ended",
        "folder_complete",
        "file_read",
        "milestone_written",
        "committed",
        "rejected",
        "published",
    ),
    "stager": (
        "claimed",
        "predecessor_ended",
        "run_cleared",
        "file_sent",
        "file_staged",
        "milestone_written",
        "committed",
        "rejected",
        "published",
    ),
    "upserter": (
        "claimed",
        "predecessor_ended",
        "gate_taken",
        "plan_made",
        "entity_written",
        "work_asserted",
        "milestone_written",
        "committed",
        "rejected",
        "published",
    ),
    "reporter": (
        "claimed",
        "predecessor_ended",
        "report_made",
        "milestone_written",
        "committed",
        "published",
    ),
    "outbox": ("event_sent",),
    "sweep": ("loads_woken", "events_published", "manifests_noticed"),
    "notices": ("notice_leased", "notice_given"),
}

# An event's publication and a notice's delivery are spans of their own.
_HAVE_SPANS: Final = frozenset({"outbox", "notices"})


def passed(room: str, step: str, **facts: object) -> None:
    """Say at level DEBUG, and as a span of the trace, that a step was done.

    Raises:
        ValueError: the step does not stand in STEPS.
    """
    number = STEPS[room].index(step) + 1
    log.debug("step.passed", room=room, number=number, step=step, **facts)
    if room not in _HAVE_SPANS:
        tracing.step_done(step, facts)
