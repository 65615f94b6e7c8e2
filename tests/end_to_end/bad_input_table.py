"""What a test session ends with: the numbered bad inputs and what became of each line's tests.

It stands by itself because the process that reads the workers' results collects no tests.
"""

from collections import Counter

import pytest

from tests.end_to_end.bad_inputs import LINES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of bad inputs with the outcome of each line, where its tests ran."""
    ended: dict[int, Counter[str]] = {}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.getreports(outcome):
            for line in bad_inputs_of(report):
                ended.setdefault(line, Counter())[outcome] += 1
    if not ended:
        return
    terminalreporter.section("bad inputs: what comes in, what has to become of it, tests")
    for line, (comes_in, outcome) in LINES.items():
        terminalreporter.line(f"{line:2}  {comes_in:40} {outcome:32} {told(ended.get(line))}")


def bad_inputs_of(report: pytest.CollectReport | pytest.TestReport) -> set[int]:
    """The lines that a report is about; those of a file that cannot be read are not known."""
    properties = getattr(report, "user_properties", ())
    return {line for name, line in properties if name == "bad_input"}


def told(outcomes: Counter[str] | None) -> str:
    """What became of one line's tests."""
    if outcomes is None:
        return "not run"
    wrong = outcomes.total() - outcomes["passed"]
    word = f"FAILED {wrong} of" if wrong else "ok"
    return f"{word} {outcomes.total()}"
