"""A bug in a stage is a line with a stack trace, and a partner's mistake is none."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from services.stager.stage import STAGE
from shared import stage as running
from shared.bus.port import Message
from shared.clock import now
from shared.errors import Failure, LeaseLost, Rejected, TransientFault
from shared.events import Event
from shared.ledger.lease import Claim
from shared.ledger.states import State
from shared.logs import REPORTED_ERROR, set_up_logs
from shared.mysql.connect import Database
from shared.stage import Parts, run_stage
from tests.drops import Drop
from tests.integration.test_ledger import new_load
from tests.loads import run


async def lines_of(
    raised: Exception, parts: Parts, database: Database, capsys: pytest.CaptureFixture[str]
) -> list[dict[str, Any]]:
    """What is logged when the stager's work raises."""

    async def work(_claim: Claim, _parts: Parts) -> None:
        raise raised

    await new_load(database, State.VALIDATED)
    body = Event(load_id="L", event_id="e", run=1).body()
    set_up_logs(service="stager")
    try:
        await run_stage(replace(STAGE, run=work), Message(body, {}, "test", "1", now()), parts)
    finally:
        structlog.reset_defaults()
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


async def test_a_bug_in_a_stage_has_its_stack_trace_in_the_log(
    parts: Parts, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = await lines_of(ZeroDivisionError("a bug"), parts, database, capsys)
    (bug,) = [line for line in lines if "stack_trace" in line]
    assert (bug["severity"], bug["@type"]) == ("ERROR", REPORTED_ERROR)
    assert (bug["message"], bug["load_id"], bug["stage"]) == ("stage.postponed", "L", "stager")
    assert bug["stack_trace"].endswith("ZeroDivisionError: a bug")


async def test_a_load_that_does_not_add_up_is_told_like_a_bug(
    parts: Parts, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    mismatch = Rejected(Failure.of("reconcile.mismatch", "1 row was lost"))
    lines = await lines_of(mismatch, parts, database, capsys)
    (bug,) = [line for line in lines if "stack_trace" in line]
    assert (bug["severity"], bug["message"]) == ("ERROR", "load.rejected")


@pytest.mark.parametrize(
    "raised",
    [
        Rejected(Failure.of("file.changed", "other bytes", file="customers.csv")),
        TransientFault("the database is away"),
        LeaseLost("another worker took over"),
    ],
    ids=["a partner's mistake", "a fault that may pass", "a lost lease"],
)
async def test_what_is_no_bug_is_no_error(
    raised: Exception, parts: Parts, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = await lines_of(raised, parts, database, capsys)
    assert {"ERROR"}.isdisjoint(line["severity"] for line in lines)
    assert not [line for line in lines if "stack_trace" in line]


async def test_a_worker_that_finds_its_load_taken_over_is_counted(
    parts: Parts,
    database: Database,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: list[tuple[str, str]] = []
    monkeypatch.setattr(
        running, "count_stage", lambda stage, outcome, _seconds: counted.append((stage, outcome))
    )
    await lines_of(LeaseLost("another worker took over"), parts, database, capsys)
    assert counted == [("stager", "lease_lost")]


async def test_a_drop_that_goes_well_logs_no_warning(
    parts: Parts, bucket_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drop = Drop()
    drop.write(bucket_dir)
    set_up_logs()
    try:
        await run(parts, drop)
    finally:
        structlog.reset_defaults()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {line["severity"] for line in lines} == {"INFO"}
