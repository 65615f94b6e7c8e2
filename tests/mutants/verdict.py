"""What a run says of a mutant: which oracles or tests caught it, or why it shows nothing."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

from tests.faults.seed_worker import TRAIL
from tests.faults.suite import BROKE_OFF, NEVER_STRUCK

# A case that never came about says nothing of the bug, nor does a patch that is no program, nor a
# test that a busy machine was too slow for.
SHOWS_NOTHING: Final = frozenset({BROKE_OFF, NEVER_STRUCK, TRAIL})
NO_FINDING: Final = re.compile(
    r"\b(SyntaxError|ImportError|ModuleNotFoundError|NameError|AttributeError|TypeError"
    r"|ProgrammingError)\b|Timeout \(>"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run ended: `caught_by` names what failed; `broken` says why it shows nothing."""

    caught_by: tuple[str, ...] = ()
    broken: str | None = None

    @property
    def caught(self) -> bool:
        """Whether the bug was seen."""
        return bool(self.caught_by)


def of_faults(status: int, output: str) -> Verdict:
    """The verdict of `python -m tests.faults --json`."""
    try:
        told = json.loads(output)
    except ValueError:
        return Verdict(broken=f"the fault suite ended with {status} and told nothing")
    return _of_complaints(
        (violation["oracle"], violation["detail"])
        for divergence in told["divergences"]
        for violation in divergence["violations"]
    )


def of_tests(status: int, junit: str) -> Verdict:
    """The verdict of pytest, by what it wrote with `--junit-xml`."""
    try:
        cases = list(ET.fromstring(junit).iter("testcase"))
    except ET.ParseError:
        return Verdict(broken=f"pytest ended with {status} and told nothing")
    if not cases or any(case.find("error") is not None for case in cases):
        return Verdict(broken=f"pytest ended with {status}: a test could not be run")
    return _of_complaints(
        (case.get("name", "").partition("[")[0], failure.get("message", ""))
        for case in cases
        for failure in case.iter("failure")
    )


def _of_complaints(complaints: Iterable[tuple[str, str]]) -> Verdict:
    by, broken = list[str](), None
    for who, what in complaints:
        if who in SHOWS_NOTHING or NO_FINDING.search(what):
            broken = f"{who}: {what}"
        else:
            by.append(who)
    return Verdict(tuple(dict.fromkeys(by)), None if by else broken)
