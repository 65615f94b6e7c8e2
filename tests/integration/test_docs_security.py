"""What SECURITY.md says is not written down, on the real MySQL."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from crossdock.pipeline import Ending, run_arrival
from shared.bus.memory import MemoryBus
from shared.contracts.row_rules import MOST_ROWS_NAMED
from shared.errors import catalogue
from shared.gcs_notification import arrival_of
from shared.ledger.mysql import Ledger
from shared.logs import set_up_logs
from shared.mysql.connect import Database
from shared.stage import Parts
from tests.drops import ROWS, Drop
from tests.loads import run

SECRET = "hidden-value"
ROW_CODES = {code for code in catalogue() if code.startswith("row.")}
WRITTEN_DOWN = (
    "SELECT failure_message, last_error, warnings FROM load_ledger",
    "SELECT detail FROM load_event",
    "SELECT message FROM load_reject",
    "SELECT report FROM load_report",
    "SELECT body FROM notification",
    "SELECT body FROM outbox",
)


def faulty_rows() -> dict[str, list[dict[str, str]]]:
    """Rows that earn every code of a row, each with the secret in the value that earns it."""
    customer, vehicle, item = ROWS["customers"][0], ROWS["vehicles"][0], ROWS["line_items"][0]
    return {
        **ROWS,
        "customers": [
            *ROWS["customers"],
            {**customer, "source_customer_id": f" {SECRET}"},
            {**customer, "source_customer_id": f"{SECRET}-1", "country": SECRET},
            {**customer, "source_customer_id": f"{SECRET}-2"},
            {**customer, "source_customer_id": f"{SECRET}-2"},
            {**customer, "source_customer_id": "", "email": SECRET},
        ],
        "vehicles": [
            *ROWS["vehicles"],
            {**vehicle, "source_vehicle_id": f"{SECRET}-3", "odometer": SECRET},
            {**vehicle, "source_vehicle_id": f"{SECRET}-4", "odometer": "9" * 40},
            {**vehicle, "source_vehicle_id": f"{SECRET}-5", "source_customer_id": f"{SECRET}-6"},
            {**vehicle, "source_vehicle_id": f"{SECRET}-7", "source_customer_id": f"{SECRET}-1"},
        ],
        "line_items": [{**item, "description": SECRET}],
    }


def too_many_copies() -> dict[str, list[dict[str, str]]]:
    """One key in so many rows that the load fails for them."""
    customer = {**ROWS["customers"][0], "source_customer_id": SECRET}
    return {"customers": [customer] * (MOST_ROWS_NAMED + 5)}


@pytest.mark.parametrize(
    ("rows", "codes", "ending"),
    [
        (faulty_rows(), ROW_CODES, Ending.REPORTED),
        (too_many_copies(), {"row.duplicate_key"}, Ending.FAILED),
    ],
    ids=["rejected rows", "a rejected load"],
)
async def test_a_rows_values_stand_in_its_reject_and_are_told_nowhere_else(
    parts: Parts,
    bucket_dir: Path,
    database: Database,
    rows: dict[str, list[dict[str, str]]],
    codes: set[str],
    ending: Ending,
) -> None:
    bus = MemoryBus()
    drop = Drop.of(rows)
    drop.write(bucket_dir)
    found = await parts.storage.stat(f"{drop.prefix}manifest.json")
    assert found is not None
    arrival = arrival_of(parts.storage.bucket, found.name, found.generation)
    assert arrival is not None

    own = replace(parts, bus=bus)
    with structlog.testing.capture_logs() as logged:
        followed = await run_arrival(arrival, own, bus, progress=lambda _: None)

    assert followed.ending is ending
    rejects = await database.fetch_all("SELECT code, raw FROM load_reject")
    assert {row["code"] for row in rejects} == codes
    assert all(SECRET in row["raw"] for row in rejects)
    assert any(line["event"] == "load.notice" for line in logged)
    assert SECRET not in json.dumps(logged, default=str)
    for query in WRITTEN_DOWN:
        told = await database.fetch_all(query)
        assert told, query
        assert SECRET not in json.dumps(told, default=str), query


@pytest.mark.parametrize(
    ("ddl", "name"),
    [
        (
            "ALTER TABLE customers ADD COLUMN zip INT AS (CAST(postal_code AS UNSIGNED)) STORED",
            "TRUNCATED_WRONG_VALUE",
        ),
        (
            (
                "CREATE TRIGGER zip BEFORE INSERT ON customers FOR EACH ROW "
                "BEGIN DECLARE said TEXT DEFAULT CONCAT('bad zip ', NEW.postal_code); "
                "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = said; END"
            ),
            "SIGNAL_EXCEPTION",
        ),
    ],
    ids=["a column", "a trigger"],
)
async def test_nor_is_what_an_operators_own_column_or_trigger_says_of_them(
    parts: Parts,
    bucket_dir: Path,
    database: Database,
    capfd: pytest.CaptureFixture[str],
    ddl: str,
    name: str,
) -> None:
    await database.execute(ddl)
    drop = Drop.of({"customers": [{**ROWS["customers"][0], "postal_code": SECRET}]})
    drop.write(bucket_dir)
    once = parts.settings.model_copy(update={"attempts_before_attention": 1})
    set_up_logs("debug")

    followed = await run(replace(parts, settings=once, ledger=Ledger(once)), drop)

    assert followed.ending is Ending.NEEDS_ATTENTION
    assert name in await database.fetch_value("SELECT last_error FROM load_ledger")
    logged = capfd.readouterr().err
    assert name in logged
    assert SECRET not in logged
    for query in WRITTEN_DOWN:
        assert SECRET not in json.dumps(await database.fetch_all(query), default=str), query
