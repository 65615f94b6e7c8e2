"""What is told of an outcome, once for each channel, and how a replay that failed is told. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from shared.errors import Failure

SECURITY_CODES: Final = frozenset({"manifest.partner_mismatch"})

_REMEDY_OF_REPLAY: Final = (
    "Nothing has to be done: production is as run {run} left it, and the partner has nothing to "
    "send. To replay the load all the same, bring back what run {run} read, such as the older "
    "generations of the files in the bucket, and replay it from the validator."
)


class NotDelivered(Exception):  # noqa: N818 - a fact about the channel
    """A channel did not take a notice; the message is shown to people, so it holds no secret."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What one channel has to tell of the outcome of a load's run, or of a manifest's refusal.

    `number` is the notice's own; `subject` the load_id, or the manifest's name in the bucket; `run`
    the load's run, or the manifest's generation; `attempts` counts this one too. `body` is the
    report, or the refusal. `traceparent` is where the outcome was written, if that was traced.
    """

    number: int
    subject: str
    run: int
    outcome: str
    attempts: int
    body: Mapping[str, Any]
    traceparent: str | None = None

    @property
    def failure(self) -> Mapping[str, Any] | None:
        """Why the load was rejected or the manifest refused; None where all is well."""
        found: Mapping[str, Any] | None = self.body.get("failure")
        return found

    @property
    def is_security_event(self) -> bool:
        """Whether somebody tried to speak for another partner."""
        return self.failure is not None and self.failure["code"] in SECURITY_CODES


def run_that_stands(told: Mapping[str, Any]) -> int | None:
    """The run that is in production, where a report, a notice or a load tells of a failed replay.

    Args:
        told: a document with `failure` and `applied_run`; None where it tells of anything else.
    """
    applied_run: int | None = told.get("applied_run")
    return applied_run if told.get("failure") is not None else None


def verdict_on_replay(applied_run: int) -> str:
    """What a replay that failed came to, in a few words."""
    return f"replay failed; what run {applied_run} applied stands"


def failure_as_told(failure: Failure, applied_run: int | None) -> Failure:
    """A failure with the remedy that fits: what a replay ran into is not the partner's to mend.

    Args:
        failure: why the run was rejected, with the catalogue's remedy.
        applied_run: the run that was applied before it; None where none was.
    """
    if applied_run is None:
        return failure
    return replace(failure, remedy=_REMEDY_OF_REPLAY.format(run=applied_run))
