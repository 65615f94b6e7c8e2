"""A strike from within: a process ends or freezes itself at the very step that it was told of."""

import json
import os
import signal
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog
from structlog.types import EventDict


@dataclass(frozen=True, slots=True)
class Strike:
    """Where a process of a lane is struck: after the n-th pass of a step, n counted from 1.

    With `process` it has to be that one; else the first of the lane that comes to the step.
    """

    room: str
    step: str
    signal: signal.Signals
    occurrence: int = 1
    process: str | None = None


@dataclass(frozen=True, slots=True)
class StrikeOrder:
    """A lane's one strike: given in a file that every process of the lane looks at."""

    folder: Path

    def give(self, strike: Strike) -> None:
        """Order a strike; passes are counted from now on."""
        self.withdraw()
        partial = self._order.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(strike)), encoding="utf-8")
        partial.replace(self._order)

    def withdraw(self) -> None:
        """Take the order back, and forget whom it struck."""
        self._order.unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)

    def struck(self) -> str | None:
        """The name of the process that was struck, or None if it has not come to that."""
        try:
            return self._mark.read_text(encoding="utf-8") or None
        except FileNotFoundError:
            return None

    def read(self) -> dict[str, Any] | None:
        """The order that stands."""
        try:
            order: dict[str, Any] = json.loads(self._order.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return order

    def take(self, process: str) -> bool:
        """Mark a process as the one that is struck; False if another was first."""
        try:
            with self._mark.open("x", encoding="utf-8") as mark:
                mark.write(process)
        except FileExistsError:
            return False
        return True

    @property
    def _order(self) -> Path:
        return self.folder / "strike.json"

    @property
    def _mark(self) -> Path:
        return self.folder / "struck"


class _Striker:
    """Stands before the log's processors and strikes its own process when a step passes by."""

    def __init__(self, process: str, order: StrikeOrder) -> None:
        self._process, self._order = process, order
        self._passes: Counter[str] = Counter()

    def __call__(self, _logger: object, _method: str, event: EventDict) -> EventDict:
        if event["event"] == "step.passed":
            order = self._order.read()
            if order is not None and (order["room"], order["step"]) == (
                event["room"],
                event["step"],
            ):
                self._come_to(order)
        return event

    def _come_to(self, order: dict[str, Any]) -> None:
        self._passes[json.dumps(order)] += 1
        if order["process"] not in {None, self._process}:
            return
        if self._passes[json.dumps(order)] >= order["occurrence"] and self._order.take(
            self._process
        ):
            os.kill(os.getpid(), order["signal"])


def stand_in_front_of_the_log(process: str, order: StrikeOrder) -> None:
    """Let every log that this process sets up from now on strike where it is ordered."""
    striker = _Striker(process, order)
    configure = structlog.configure

    def configure_with_striker(*, processors: list[Any], **options: Any) -> None:
        configure(processors=[striker, *processors], **options)

    structlog.configure = configure_with_striker  # type: ignore[assignment]
