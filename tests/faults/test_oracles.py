"""Each oracle says nothing of a quiet day, and catches a day that was bent by hand."""

import asyncio
from collections.abc import Iterator

import pytest

from shared.bus.port import DeadLetter, Message
from shared.dead_letters import keep_in_process
from shared.mysql.connect import connect
from tests import loads
from tests.drops import EPOCH, ROWS, Drop, later
from tests.faults.clean_run import brings_its_own_parents, clean_run
from tests.faults.legal_paths import Line, first_fence_that_does_not_rise, walk
from tests.faults.oracles import ORACLES, FinishedRun, violations
from tests.verdicts import open_bench

FIRST = Drop()
CHANGED = {**ROWS, "customers": [{**ROWS["customers"][0], "city": "Ely"}, *ROWS["customers"][1:]]}
SECOND = Drop.of(CHANGED, load_id="load-2", created_at=later(1))
BROKEN = Drop(load_id="load-3", created_at=later(2), manifest_changes={"schema_version": "v9"})
EXPECTED = {"load-1": "reported", "load-2": "reported", "load-3": "failed"}


@pytest.fixture(scope="module")
def run(mysql_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinishedRun]:
    """A day on which the newer of two loads came first, and a third failed."""
    opened = open_bench(mysql_server_url, tmp_path_factory.mktemp("bucket"))
    with asyncio.Runner() as runner:
        bench = runner.run(opened.__aenter__())
        drops = (SECOND, FIRST, BROKEN)
        for drop in drops:
            drop.write(bench.root)
            runner.run(loads.run(bench.parts, drop))
        runner.run(keep_in_process([LETTER], bench.parts.ledger.url))
        yield FinishedRun(bench.parts.ledger.url, mysql_server_url, drops, "drops", EXPECTED)
        runner.run(opened.__aexit__(None, None, None))


async def test_a_day_without_faults_violates_nothing(run: FinishedRun) -> None:
    assert await violations(run) == []


TELL_AGAIN = """INSERT INTO notification
    (subject, run, channel, outcome, bucket, body, next_attempt_at)
SELECT subject, run, channel, 'failed', bucket, body, next_attempt_at FROM notification
WHERE subject = 'load-1'"""
LETTER = DeadLetter(
    Message(b'{"load_id": "load-1", "run": 0}', {}, "stager.manifest.validated", "1", EPOCH),
    "manifest.validated",
    "the handler answered refused",
)
BENT = {
    "production_as_clean_run": [
        "UPDATE customers SET source_version = source_version + 1 WHERE country = 'GB'",
        "UPDATE customers SET last_name = 'null' WHERE last_name = 'NULL'",
        "DELETE FROM line_items LIMIT 1",
        "UPDATE crosswalk_keys_customers SET first_seen_load_id = 'load-2' LIMIT 1",
        "UPDATE load_ledger SET applied_staged_run = 9 WHERE load_id = 'load-2'",
    ],
    "contract_columns_in_created_at_order": [
        "UPDATE customers SET city = 'Rye' WHERE city = 'Ely'",
        "UPDATE invoices SET vehicle_id = (SELECT MAX(vehicle_id) FROM vehicles)",
    ],
    "every_key_has_its_id": [
        "UPDATE line_items SET line_item_id = line_item_id + 1 LIMIT 1",
        "INSERT INTO identity_collision VALUES ('customers', 'acme', 'C1', 7)",
    ],
    "legal_history": [
        "DELETE FROM load_event WHERE kind = 'claimed' AND stage = 'stager' LIMIT 1",
        "UPDATE load_event SET run = 2 WHERE kind = 'finished' AND stage = 'upserter' LIMIT 1",
        "UPDATE load_event SET kind = 'wished' WHERE kind = 'finished' LIMIT 1",
        "UPDATE load_ledger SET state = 'upserted' WHERE load_id = 'load-1'",
        "DELETE FROM load_event WHERE load_id = 'load-3'",
    ],
    "fences_rise": [
        "UPDATE load_event SET fence = 1 WHERE stage = 'stager'",
        "UPDATE load_ledger SET fence = 1 WHERE load_id = 'load-1'",
    ],
    "events_tell_what_happened": [
        "UPDATE outbox SET created_at = created_at - INTERVAL 1 HOUR WHERE topic = 'staged'",
        "UPDATE outbox SET run = 7 WHERE topic = 'failed'",
        "DELETE FROM load_event WHERE kind = 'finished' AND stage = 'upserter'",
    ],
    "one_final_state_each_told_once": [
        "UPDATE load_ledger SET state = 'staged' WHERE load_id = 'load-1'",
        "UPDATE arrival SET verdict = 'pending' LIMIT 1",
        "DELETE FROM arrival LIMIT 1",
        "DELETE FROM notification WHERE subject = 'load-3'",
        "UPDATE notification SET outcome = 'mismatch' WHERE subject = 'load-1'",
        TELL_AGAIN,
        "UPDATE load_ledger SET reported_run = NULL WHERE load_id = 'load-3'",
    ],
    "failed_wrote_nothing": [
        "UPDATE customers SET last_load_id = 'load-3' LIMIT 1",
        "UPDATE line_items SET first_load_id = 'load-3' LIMIT 1",
        "UPDATE crosswalk_keys_vehicles SET first_seen_load_id = 'load-3' LIMIT 1",
        "UPDATE invoices SET source_system = 'globex' LIMIT 1",
    ],
    "nothing_left_running": [
        "UPDATE load_ledger SET lease_owner = 'stager@gone' WHERE load_id = 'load-1'",
        "UPDATE outbox SET published_at = NULL LIMIT 1",
    ],
    "dead_letters_have_reasons": [
        "UPDATE dead_letter SET reason = ''",
        "DELETE FROM load_event WHERE kind = 'dead_lettered'",
    ],
}


BY_NAME = {oracle.__name__: oracle for oracle in ORACLES}


@pytest.mark.parametrize(
    ("oracle", "statement"),
    [(oracle, statement) for oracle, statements in BENT.items() for statement in statements],
)
async def test_an_oracle_catches_what_was_bent_by_hand(
    run: FinishedRun, oracle: str, statement: str
) -> None:
    async with connect(run.database_url) as database:
        await database.connection.begin()
        assert await database.execute(statement) > 0
        assert await BY_NAME[oracle](run, database)
        await database.roll_back()


def test_every_oracle_is_shown_something_bent() -> None:
    assert list(BENT) == list(BY_NAME)


async def test_a_transaction_that_stays_open_is_left_running(
    run: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.faults.oracles.OPEN_SECONDS", 0.5)
    async with connect(run.database_url) as idle, idle.transaction():
        await idle.execute("UPDATE source_gate SET epoch = epoch")
        found = await violations(run)
    assert [violation.oracle for violation in found] == ["nothing_left_running"]
    assert "transaction" in found[0].detail


async def test_a_load_that_nobody_uploaded_cannot_be_judged(run: FinishedRun) -> None:
    bent = FinishedRun(run.database_url, run.server_url, [FIRST], "drops", EXPECTED)
    with pytest.raises(LookupError, match="load-2 was applied from a manifest"):
        await violations(bent)


async def test_a_clean_run_is_made_once(mysql_server_url: str) -> None:
    made = await clean_run(mysql_server_url, [FIRST, SECOND, FIRST])
    assert await clean_run(mysql_server_url, [FIRST, SECOND, FIRST]) is made
    assert await clean_run(mysql_server_url, [FIRST]) is not made


def test_a_drop_whose_row_names_a_parent_elsewhere_does_not_bring_its_own() -> None:
    assert brings_its_own_parents(FIRST)
    assert not brings_its_own_parents(Drop.of({**ROWS, "vehicles": ROWS["vehicles"][:1]}))


def way(*lines: str) -> list[Line]:
    """Lines written as `kind`, `kind/run` or `kind/run/stage/fence`."""
    read: list[Line] = []
    for text in lines:
        kind, run, stage, fence = (*text.split("/"), *("1", "", "0")[text.count("/") :])
        read.append(Line(kind, int(run), stage or None, int(fence) or None))
    return read


RECEIVED = ("received",)
VALIDATED = (*RECEIVED, "claimed/1/validator/1", "finished/1/validator/1")
STAGED = (*VALIDATED, "claimed/1/stager/2", "finished/1/stager/2")
APPLIED = (*STAGED, "claimed/1/upserter/3", "finished/1/upserter/3")
REPORTED = (*APPLIED, "claimed/1/reporter/4", "finished/1/reporter/4")
REJECTED = (*RECEIVED, "claimed/1/validator/1", "failed/1/validator/1")
TOLD = (*REJECTED, "claimed/1/reporter/2", "finished/1/reporter/2")
STAGING = (*VALIDATED, "claimed/1/stager/2")


@pytest.mark.parametrize(
    "lines",
    [
        REPORTED,
        TOLD,
        (*STAGING, "claimed/1/stager/3", "finished/1/stager/3"),
        (*STAGING, "postponed/1/stager/2", "claimed/1/stager/3"),
        (*STAGING, "released/1/stager/2", "claimed/1/stager/3"),
        (*STAGING, "give_up/1/stager/2", "replayed/2/stager/3"),
        (*STAGED, "claimed/1/upserter/3", "waiting/1/upserter/3", "claimed/1/upserter/4"),
        (*REJECTED, "received/2"),
        (*REJECTED, "claimed/1/reporter/2", "received/2"),
        (*TOLD, "received/2", "claimed/2/validator/3"),
        (*TOLD, "replayed/2/reporter/3", "finished/2/reporter/3"),
        (*REPORTED, "replayed/2/upserter/5", "failed/2/upserter/5", "claimed/2/reporter/6"),
        (*REPORTED, "busy", "duplicate", "arrival_history"),
        ("unknown_load/9",),
        ("failed", "claimed/1/reporter/1", "finished/1/reporter/1", "received/2"),
    ],
)
def test_a_path_of_the_pages_is_legal(lines: tuple[str, ...]) -> None:
    assert walk(way(*lines))[1] is None


@pytest.mark.parametrize(
    "lines",
    [
        ("claimed/1/validator/1",),
        ("received/2",),
        (*RECEIVED, "received/2"),
        (*REPORTED, "received/2"),
        (*TOLD, "received/1"),
        (*RECEIVED, "claimed/1/stager/1"),
        (*RECEIVED, "claimed/2/validator/1"),
        (*RECEIVED, "give_up/1/validator/1"),
        (*STAGING, "finished/1/stager/1"),
        (*STAGING, "finished/1/upserter/2"),
        (*STAGING, "finished/2/stager/2"),
        (*STAGING, "waiting/1/stager/2"),
        (*STAGING, "postponed/1/stager/1"),
        (*STAGING, "claimed/1/stager/3", "finished/1/stager/2"),
        (*STAGING, "postponed/1/stager/2", "finished/1/stager/2"),
        (*STAGING, "give_up/1/stager/2", "claimed/1/stager/3"),
        (*STAGING, "replayed/1/stager/3"),
        (*STAGING, "replayed/2/upserter/3"),
        (*APPLIED, "claimed/1/reporter/4", "failed/1/reporter/4"),
        (*REPORTED, "claimed/1/upserter/5"),
        (*REPORTED, "claimed/1/reporter/5"),
        (*TOLD, "claimed/1/validator/3"),
        ("failed", "replayed/2/validator/1"),
        (*RECEIVED, "wished"),
    ],
)
def test_a_path_that_no_page_knows_is_told_at_its_last_line(lines: tuple[str, ...]) -> None:
    assert walk(way(*lines[:-1]))[1] is None
    complaint = walk(way(*lines))[1]
    assert complaint is not None
    assert complaint.startswith(f"line {len(lines)}, ")


def test_a_fence_that_was_given_before_does_not_rise() -> None:
    assert first_fence_that_does_not_rise(way(*REPORTED)) is None
    again = way(*STAGING, "claimed/1/stager/2")
    assert first_fence_that_does_not_rise(again) is not None
