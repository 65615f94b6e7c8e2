"""Which run a partner's ack tells of, what of it the partner sees, and where it is put."""

from typing import Any

import pytest

from services.reporter.partner_view import (
    Told,
    ack_folder,
    ack_of,
    refusal_of,
    run_to_acknowledge,
)
from shared.errors import Failure
from shared.gcs_notification import arrival_of
from tests.unit.test_report_render import report

FAILED = report(failure=Failure.of("manifest.schema", "m").to_json(), reconciled=False)
RECONCILED = report()
MISMATCH = report(reconciled=False)


def told(run: int, of: dict[str, Any], *, begun_run: int = 1, again: bool = False) -> Told:
    arrival = arrival_of("drops", "imports/acme/load-1/manifest.json", 2**60 + begun_run)
    assert arrival is not None
    return Told(run, arrival, begun_run, again, of)


@pytest.mark.parametrize(
    ("runs", "acknowledged"),
    [
        ([told(1, FAILED)], 1),
        ([told(1, RECONCILED)], 1),
        ([told(1, FAILED), told(2, FAILED, begun_run=2)], 2),
        ([told(1, FAILED), told(2, RECONCILED, begun_run=2)], 2),
        ([told(1, FAILED), told(2, FAILED)], 2),
        ([told(1, FAILED), told(2, RECONCILED)], 2),
    ],
)
def test_the_newest_verdict_counts(runs: list[Told], acknowledged: int) -> None:
    assert run_to_acknowledge(runs).run == acknowledged


@pytest.mark.parametrize("replay", [RECONCILED, MISMATCH, FAILED])
def test_a_replay_of_an_applied_load_leaves_its_ack(replay: dict[str, Any]) -> None:
    assert run_to_acknowledge([told(1, RECONCILED), told(2, replay)]).run == 1


def test_a_replay_that_mends_the_counts_is_told() -> None:
    assert run_to_acknowledge([told(1, MISMATCH), told(2, FAILED)]).run == 1
    assert run_to_acknowledge([told(1, MISMATCH), told(2, MISMATCH)]).run == 2
    assert run_to_acknowledge([told(1, MISMATCH), told(2, RECONCILED)]).run == 2


def test_a_failure_that_is_told_again_keeps_the_counts_and_rows_of_its_run() -> None:
    assert run_to_acknowledge([told(1, FAILED), told(2, FAILED, again=True)]).run == 1
    assert run_to_acknowledge([told(2, FAILED, again=True)]).run == 2


def test_a_partner_sees_nothing_that_was_not_meant_for_one() -> None:
    ack = ack_of(told(2, report(operator_note="ours")), listed=2)
    assert set(ack) - set(report()) == {"manifest", "rejects"}
    assert "ours" not in str(ack)


def test_an_ack_says_how_many_rows_were_rejected_and_how_many_of_them_are_listed() -> None:
    counts = report()["entities"]["customers"]
    entities = {"customers": counts, "vehicles": {**counts, "rejected": 20_000}}
    assert ack_of(told(1, report(entities=entities)), listed=10_002)["rejects"] == {
        "rejected": 20_002,
        "listed": 10_002,
    }


@pytest.mark.parametrize("rejected", [{}, {"customers": None}, {"customers": 1, "vehicles": None}])
def test_rejected_rows_that_nobody_counted_are_unknown(rejected: dict[str, int | None]) -> None:
    entities = {name: {"rejected": count} for name, count in rejected.items()}
    ack = ack_of(told(1, report(entities=entities)), listed=0)
    assert ack["rejects"] == {"rejected": None, "listed": 0}


def test_an_ack_names_the_manifest_that_it_is_about() -> None:
    assert ack_of(told(2, FAILED, begun_run=2), listed=0)["manifest"] == {
        "name": "imports/acme/load-1/manifest.json",
        "generation": str(2**60 + 2),
    }


def test_a_refusal_has_the_form_of_an_ack() -> None:
    failure = Failure.of("manifest.load_id_reused", "m").to_json()
    body = {"load_id": "load-1", "object": "o", "generation": "7", "failure": failure}
    refusal = refusal_of({**body, "partner": "acme"})
    assert list(refusal) == list(ack_of(told(1, RECONCILED), listed=0))
    assert (refusal["state"], refusal["reconciled"]) == ("refused", False)
    assert (refusal["failure"], refusal["manifest"]["generation"]) == (failure, "7")


def test_an_ack_lies_where_the_drop_lay() -> None:
    assert ack_folder("acme", "2026-02.01_a") == "acks/acme/2026-02.01_a/"


ODD = ["..", ".", ".hidden", "a b", "a\nb", "ä", "%2E%2E", "a\\b", "x" * 101, "é" * 300]


@pytest.mark.parametrize("name", ODD)
def test_a_folder_of_any_name_has_one_of_its_own_below_acks(name: str) -> None:
    acks, partner, load_id, end = ack_folder(name, name).split("/")
    assert (acks, end) == ("acks", "")
    assert partner == load_id
    assert partner.isascii()
    assert partner.isprintable()
    assert set(partner) - {"."}
    assert len(partner) <= 255


def test_no_two_folders_share_their_acks() -> None:
    names = [*ODD, *(f"%{name}" for name in ODD), "acme", "ACME", "%2E", "y" * 101, "ü" * 300]
    assert len({ack_folder(name, "load-1") for name in names}) == len(names)
