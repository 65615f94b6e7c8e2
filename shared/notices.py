"""What is told of an outcome, once for each channel."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

SECURITY_CODES: Final = frozenset({"manifest.partner_mismatch"})


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
