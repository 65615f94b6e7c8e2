"""What the commands decide: settings, uploads, replays, dry runs, exit codes, the list of loads."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crossdock.cli.environment import missing_settings
from crossdock.cli.errors import ExitCode, WrongUsage
from crossdock.cli.ledger_view import load_document, situation
from crossdock.cli.load import topic_of_replay, why_no_replay
from crossdock.cli.local_bucket import bucket_of, place_of
from crossdock.cli.run import exit_code_of, foretell
from crossdock.cli.upload import plan_upload, why_not_replaced
from shared.errors import Failure
from shared.events import StageName, Topic
from shared.ledger.arrivals import ManifestFacts
from shared.ledger.states import Load
from tests.unit.test_ledger_decisions import (
    FAILED,
    RECEIVED,
    REPORTED,
    STAGED,
    UPSERTED,
    VALIDATED,
    leased,
)

STACK = {
    "CROSSDOCK_MYSQL_URL": "mysql://a@127.0.0.1:3306/crossdock",
    "CROSSDOCK_PROJECT": "crossdock-local",
    "CROSSDOCK_BUCKET": "crossdock",
    "PUBSUB_EMULATOR_HOST": "127.0.0.1:8085",
    "STORAGE_EMULATOR_HOST": "http://127.0.0.1:4443",
}
DROP = ("customers.csv", "invoices.csv", "line_items.csv", "manifest.json", "vehicles.csv")
MANIFEST_LAST = ("customers.csv", "invoices.csv", "line_items.csv", "vehicles.csv", "manifest.json")
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_a_running_stack_supplies_what_no_setting_says() -> None:
    assert missing_settings({}, STACK) == STACK
    elsewhere = {"CROSSDOCK_MYSQL_URL": "mysql://b@db/crossdock"}
    assert missing_settings(elsewhere, STACK) == {
        name: value for name, value in STACK.items() if name != "CROSSDOCK_MYSQL_URL"
    }
    assert missing_settings(STACK, STACK) == {}


def test_an_emulator_is_not_taken_for_a_bucket_or_project_that_is_named_otherwise() -> None:
    cloud = {"CROSSDOCK_BUCKET": "drops", "CROSSDOCK_PROJECT": "acme-prod"}
    assert missing_settings(cloud, STACK).keys() == {"CROSSDOCK_MYSQL_URL"}
    assert "STORAGE_EMULATOR_HOST" in missing_settings({"CROSSDOCK_BUCKET": "crossdock"}, STACK)


def test_an_upload_sends_everything_and_the_manifest_last() -> None:
    assert plan_upload(DROP, {}, replace=False) == MANIFEST_LAST


def test_an_upload_that_was_cut_short_goes_on_with_what_is_missing() -> None:
    there = {"customers.csv": True, "invoices.csv": True}
    wanted = ("line_items.csv", "vehicles.csv", "manifest.json")
    assert plan_upload(DROP, there, replace=False) == wanted


def test_an_upload_of_what_is_there_already_sends_nothing() -> None:
    assert plan_upload(DROP, dict.fromkeys(DROP, True), replace=False) == ()


def test_an_upload_that_replaces_sends_the_manifest_again_though_nothing_differs() -> None:
    assert plan_upload(DROP, dict.fromkeys(DROP, True), replace=True) == ("manifest.json",)


@pytest.mark.parametrize("differs", ["customers.csv", "manifest.json"])
def test_other_bytes_are_overwritten_only_when_that_was_asked_for(differs: str) -> None:
    there = {**dict.fromkeys(DROP, True), differs: False}
    with pytest.raises(WrongUsage, match=rf"(?s){differs}.*--replace"):
        plan_upload(DROP, there, replace=False)
    sent = plan_upload(DROP, there, replace=True)
    assert sent == tuple(dict.fromkeys((differs, "manifest.json")))


def test_a_drop_that_was_announced_without_a_file_is_completed_only_with_a_new_manifest() -> None:
    there = {name: True for name in DROP if name != "vehicles.csv"}
    with pytest.raises(WrongUsage, match=r"manifest\.json already"):
        plan_upload(DROP, there, replace=False)
    assert plan_upload(DROP, there, replace=True) == ("vehicles.csv", "manifest.json")


@pytest.mark.parametrize("may_replace", [False, True])
def test_a_folder_that_holds_a_file_of_another_drop_is_left_alone(may_replace: bool) -> None:
    with pytest.raises(WrongUsage, match=r"orders\.csv"):
        plan_upload(DROP, {"orders.csv": False}, replace=may_replace)


@pytest.mark.parametrize(
    ("ack", "is_refused"),
    [
        ({}, False),
        ({"state": "failed", "manifest_sha256": "one"}, False),
        ({"state": "reported", "manifest_sha256": "two"}, False),
        ({"state": "reported", "manifest_sha256": "one"}, True),
    ],
)
def test_only_another_manifest_of_a_load_that_was_applied_is_kept_back(
    ack: dict[str, str], is_refused: bool
) -> None:
    assert (why_not_replaced(ack, "two") is not None) is is_refused


@pytest.mark.parametrize(
    ("load", "stage", "topic"),
    [
        (REPORTED, "validator", Topic.ARRIVED),
        (REPORTED, "stager", Topic.VALIDATED),
        (REPORTED, "upserter", Topic.STAGED),
        (REPORTED, "reporter", Topic.UPSERTED),
        (FAILED, "stager", Topic.VALIDATED),
        (FAILED, "reporter", Topic.FAILED),
    ],
)
def test_a_replay_goes_to_the_topic_of_its_stage(
    load: Load, stage: StageName, topic: Topic
) -> None:
    assert why_no_replay(load, stage, "drops") is None
    assert topic_of_replay(load, stage) is topic


def test_a_replay_that_no_stage_would_take_is_refused_with_what_can_be_done() -> None:
    too_early = why_no_replay(VALIDATED, "upserter", "drops")
    assert too_early is not None
    assert too_early.endswith("validator, stager")
    never_passed = replace(FAILED, reached=None, failed_run=None)
    assert "the partner must send a corrected drop" in (
        why_no_replay(never_passed, "validator", "drops") or ""
    )
    assert "CROSSDOCK_BUCKET=drops" in (why_no_replay(REPORTED, "validator", "other") or "")


def test_a_load_of_a_folder_is_not_replayed_but_run_again_where_it_lies(tmp_path: Path) -> None:
    folder = tmp_path / "größer, 100 %"
    folder.mkdir()
    bucket = bucket_of(folder)
    assert bucket.isascii()
    assert str(folder) in (place_of(bucket) or "")
    assert place_of("drops") is None
    refusal = why_no_replay(replace(REPORTED, bucket=bucket), "stager", "drops")
    assert refusal is not None
    assert str(folder) in refusal
    assert "crossdock run" in refusal


@pytest.mark.parametrize(
    ("load", "sha256", "told"),
    [
        (None, "one", "begin run 1"),
        (FAILED, "two", "begin run 2"),
        (RECEIVED, "one", "go on where run 1 stands: received"),
        (STAGED, "one", "go on where run 1 stands: staged"),
        (REPORTED, "one", "do nothing"),
        (UPSERTED, "one", "do nothing"),
    ],
)
def test_a_dry_run_tells_what_a_run_would_do(load: Load | None, sha256: str, told: str) -> None:
    foretold = foretell(ManifestFacts("L", "acme", sha256, None), load, "drops")
    assert isinstance(foretold, str)
    assert foretold.startswith(told)


def test_a_dry_run_tells_who_has_the_load_in_hand_elsewhere() -> None:
    facts = ManifestFacts("L", "acme", "one", None)
    foretold = foretell(facts, leased(STAGED), "file://here/drop")
    assert isinstance(foretold, str)
    assert "somebody" in foretold
    assert "drops" in foretold


def test_a_dry_run_tells_why_the_drop_would_be_rejected() -> None:
    failure = Failure.of("file.missing", "listed, but not in the folder: vehicles.csv")
    assert foretell(ManifestFacts("L", "acme", "one", failure), None, "drops") is failure
    reused = foretell(ManifestFacts("L", "acme", "two", None), REPORTED, "drops")
    assert isinstance(reused, Failure)
    assert reused.code == "manifest.load_id_reused"


@pytest.mark.parametrize(
    ("failure", "reconciled", "code"),
    [
        (None, True, ExitCode.DONE),
        (None, False, ExitCode.MISMATCH),
        ({"code": "file.missing"}, False, ExitCode.REJECTED),
    ],
)
def test_the_end_of_a_load_decides_the_exit_code(
    failure: dict[str, str] | None, reconciled: bool, code: ExitCode
) -> None:
    assert exit_code_of({"failure": failure, "reconciled": reconciled}) is code


def ledger_row(**facts: object) -> dict[str, object]:
    times = dict.fromkeys(("created_at", "received_at", "started_at", "updated_at"))
    failure = (
        "failed_run",
        "applied_run",
        "failure_code",
        "failure_message",
        "failure_file",
        "failure_row",
    )
    lease = ("lease_owner", "lease_until", "next_attempt_at", "waiting_since", "last_error")
    return {
        **times,
        **dict.fromkeys((*failure, *lease, "failure_column")),
        "load_id": "L",
        "source_system": "acme",
        "partner": "acme",
        "bucket": "drops",
        "prefix": "imports/acme/L/",
        "state": "staged",
        "run": 2,
        "attempts": 0,
        "needs_attention": 0,
        "reconciled": None,
        "schema_version": "v1",
        "now": NOW.replace(tzinfo=None),
        **facts,
    }


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({}, ""),
        (
            {"lease_owner": "stager@host", "lease_until": NOW + timedelta(seconds=5)},
            "held by stager@host until 2026-01-01T12:00:05.000Z",
        ),
        ({"lease_owner": "stager@host", "lease_until": NOW - timedelta(seconds=5)}, ""),
        ({"waiting_since": NOW}, "waits for an older load since 2026-01-01T12:00:00.000Z"),
        (
            {"attempts": 2, "next_attempt_at": NOW, "last_error": "disk full"},
            "attempt 3 at 2026-01-01T12:00:00.000Z: disk full",
        ),
        (
            {"attempts": 10, "needs_attention": 1, "last_error": "disk full"},
            "needs attention after 10 attempts: disk full",
        ),
        (
            {"failed_run": 2, "failure_code": "file.missing", "failure_message": "no invoices.csv"},
            "file.missing",
        ),
        (
            {"failed_run": 1, "failure_code": "file.missing", "failure_message": "no invoices.csv"},
            "",
        ),
        (
            {
                "failed_run": 2,
                "applied_run": 1,
                "failure_code": "file.missing",
                "failure_message": "no invoices.csv",
            },
            "replay failed; what run 1 applied stands: file.missing",
        ),
        ({"state": "reported", "reconciled": 0}, "does not reconcile: see its report"),
        ({"state": "reported", "reconciled": 1}, ""),
    ],
)
def test_the_list_says_what_holds_a_load_where_it_stands(
    facts: dict[str, object], told: str
) -> None:
    naive = {
        name: value.replace(tzinfo=None) if isinstance(value, datetime) else value
        for name, value in facts.items()
    }
    assert situation(load_document(ledger_row(**naive))) == told
