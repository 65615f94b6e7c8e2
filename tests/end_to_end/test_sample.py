"""`crossdock sample`: the sample drop through a stack that runs."""

import pytest
from typer.testing import CliRunner

from crossdock.cli.app import app
from crossdock.stack import running


def test_the_sample_goes_through_a_stack_that_runs_and_a_second_time_nothing_is_sent(
    stack: running.StackInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    first = CliRunner().invoke(app, ["sample"])
    assert first.exit_code == 0, first.output
    assert "reporter finished" in first.output
    assert "sample-0001  reconciled" in first.output

    second = CliRunner().invoke(app, ["sample"])
    assert second.exit_code == 0, second.output
    assert "held this very drop already" in second.output
    assert "run 1, state reported" in second.output


def test_a_real_bucket_is_not_for_samples(
    stack: running.StackInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    refused = CliRunner().invoke(app, ["sample"])
    assert refused.exit_code == 2
    assert "STORAGE_EMULATOR_HOST" in refused.output
