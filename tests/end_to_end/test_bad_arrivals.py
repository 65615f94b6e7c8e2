"""Lines of the table of bad inputs that take more than one drop, or a drop that changes."""

import json
import uuid
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import pytest

from crossdock.stack import topology
from services.stager.stage import STAGE as STAGER
from services.validator.stage import STAGE as VALIDATOR
from shared.bus.pubsub import PubSubBus
from shared.events import Topic
from shared.gcs_notification import notification_of
from tests.drops import ROWS, Drop, csv_bytes, later
from tests.end_to_end.bad_inputs import Delivery, described
from tests.end_to_end.courier import (
    Courier,
    a_drop,
    assert_failed,
    assert_reported,
    assert_unchanged,
    broken,
)
from tests.end_to_end.outcomes import Outcome, assert_told_once, outcome_of
from tests.end_to_end.serving import served
from tests.faults.gcs_proxy import GcsProxy, ReadFault, ReadFaultKind


def some_rows(partner: str, minute: int, **rows: list[dict[str, str]]) -> Delivery:
    """A drop with these rows only, created at that minute."""
    load_id = f"load-{uuid.uuid4().hex[:10]}"
    drop = Drop.of(rows, load_id=load_id, partner=partner, created_at=later(minute))
    return Delivery(drop, described(drop))


def verdicts(outcome: Outcome) -> list[str]:
    return [row["verdict"] for row in outcome.arrivals]


@pytest.mark.bad_input(9)
async def test_the_created_at_of_another_load_is_refused_but_not_that_of_a_failed_one(
    courier: Courier,
) -> None:
    first = await courier.bring(a_drop())
    assert_reported(first)
    partner = first.delivery.drop.partner
    twin = await courier.bring(a_drop(partner))
    failure = assert_failed(twin, "manifest.order_conflict")
    assert failure["file"] == "manifest.json"
    assert f"load {first.delivery.drop.load_id} of {partner}" in failure["message"]
    assert "2026-01-01T00:00:00+00:00" in failure["message"]
    assert twin.standing == first.standing
    assert_failed(await courier.bring(broken(a_drop("forgiven"))), "file.checksum_mismatch")
    assert_reported(await courier.bring(a_drop("forgiven")))


@pytest.mark.bad_input(13)
async def test_an_applied_loads_manifest_that_comes_again_is_history_and_changes_nothing(
    courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = a_drop()
    before = await courier.bring(delivery)
    again = await courier.write(delivery, "manifest.json", delivery.manifest)
    after = await courier.follow(delivery, again)
    assert verdicts(after) == ["taken", "history"]
    assert_unchanged(before, after)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", courier.stack.pubsub_emulator_host)
    bus = PubSubBus(courier.stack.project)
    attributes = notification_of(courier.stack.bucket, delivery.manifest_name, again)
    await bus.publish(Topic.ARRIVED, b"{}", attributes)
    await bus.close()
    assert_reported(await courier.bring(a_drop()))  # which comes behind the copy
    assert_unchanged(before, await outcome_of(courier.database, delivery))
    kinds = await courier.database.fetch_all(
        "SELECT kind FROM load_event WHERE load_id = %(load_id)s AND kind = 'arrival_history'",
        {"load_id": delivery.drop.load_id},
    )
    assert len(kinds) == 1


@pytest.mark.bad_input(14)
async def test_whatever_comes_under_an_applied_loads_id_is_refused_once_and_the_load_stands(
    courier: Courier,
) -> None:
    delivery = a_drop()
    before = await courier.bring(delivery)
    drop = delivery.drop
    others = [
        described(Drop(drop.load_id, drop.partner, created_at=later(1))),
        described(Drop(drop.load_id, drop.partner, manifest_changes={"source_system": "globex"})),
        b"{",
        b" " * 65_537,
    ]
    for count, manifest in enumerate(others, 1):
        generation = await courier.write(delivery, "manifest.json", manifest)
        after = await courier.follow(delivery, generation)
        assert verdicts(after) == ["taken", *["refused"] * count]
        assert after.arrivals[-1]["failure_code"] == "manifest.load_id_reused"
        told = [notice for notice in after.notices if notice["run"] == generation]
        assert_told_once(told, "refused")
        failure = json.loads(told[0]["body"])["failure"]
        assert f"{drop.load_id!r} was loaded already" in failure["message"]
        assert "new load_id" in failure["remedy"]
        assert (after.load, after.standing) == (before.load, before.standing)


@pytest.mark.bad_input(14)
async def test_another_partners_load_id_is_refused_and_the_load_that_stands_is_untouched(
    courier: Courier,
) -> None:
    delivery = a_drop()
    before = await courier.bring(delivery)
    drop = Drop(delivery.drop.load_id, partner=f"thief-of-{delivery.drop.load_id}")
    thief = await courier.bring(Delivery(drop, described(drop)))
    assert thief.load is None
    assert verdicts(thief) == ["refused"]
    assert thief.arrivals[0]["failure_code"] == "manifest.load_id_reused"
    told = [notice for notice in thief.notices if notice["outcome"] == "refused"]
    assert_told_once(told, "refused")
    assert "belongs to another partner" in json.loads(told[0]["body"])["failure"]["message"]
    after = await outcome_of(courier.database, delivery)
    assert_unchanged(before, after)


@pytest.mark.bad_input(15)
async def test_a_manifest_that_comes_again_after_a_failure_begins_a_new_run(
    courier: Courier,
) -> None:
    delivery = a_drop()
    good = delivery.drop.files["customers.csv"]
    assert_failed(await courier.bring(broken(delivery)), "file.checksum_mismatch")
    await courier.write(delivery, "customers.csv", good)
    again = await courier.write(delivery, "manifest.json", delivery.manifest)
    outcome = await courier.follow(delivery, again)
    assert_reported(outcome, run=2)
    assert verdicts(outcome) == ["taken", "taken"]
    assert [notice["outcome"] for notice in outcome.notices if notice["channel"] == "log"] == [
        "failed",
        "reported",
    ]


@pytest.mark.bad_input(15)
async def test_a_corrected_manifest_after_a_failure_begins_a_new_run(courier: Courier) -> None:
    delivery = a_drop()
    bad = Delivery(delivery.drop, delivery.manifest.replace(b'"rows": 3', b'"rows": 4', 1))
    assert_failed(await courier.bring(bad), "file.row_count_mismatch")
    corrected = await courier.write(delivery, "manifest.json", delivery.manifest)
    assert_reported(await courier.follow(delivery, corrected), run=2)


NOTICE = "services.validator.admission.notice"
ADD_FILE = "services.validator.validator.add_file"


@pytest.mark.bad_input(16)
async def test_a_manifest_that_is_replaced_before_it_is_read_gives_way_to_the_newest(
    courier: Courier,
) -> None:
    delivery = a_drop()
    older = Delivery(delivery.drop, b"{")
    async with courier.held_at("arrival"):
        await courier.leave(older)
        await courier.wait_until_held(NOTICE)
        newest = await courier.write(delivery, "manifest.json", delivery.manifest)
    outcome = await courier.follow(delivery, newest)
    assert verdicts(outcome) == ["superseded", "taken"]
    assert_reported(outcome)
    assert_told_once(outcome.notices, "reported")


@pytest.mark.bad_input(16)
async def test_a_manifest_that_is_deleted_before_it_is_read_fails_its_load(
    courier: Courier,
) -> None:
    delivery = a_drop()
    async with courier.held_at("arrival"):
        await courier.leave(delivery)
        found = await courier.storage.stat(delivery.manifest_name)
        assert found is not None
        await courier.wait_until_held(NOTICE)
        await courier.delete(delivery, "manifest.json")
    outcome = await courier.follow(delivery, found.generation)
    failure = assert_failed(outcome, "manifest.changed")
    assert (failure["file"], "deleted before it was read" in failure["message"]) == (
        "manifest.json",
        True,
    )
    assert not any(outcome.standing.values())
    again = await courier.write(delivery, "manifest.json", delivery.manifest)
    assert_reported(await courier.follow(delivery, again), run=2)


@pytest.mark.bad_input(21)
@pytest.mark.parametrize("is_replaced", [True, False], ids=["replaced", "deleted"])
async def test_a_file_that_changes_after_its_validation_is_never_loaded(
    courier: Courier, is_replaced: bool
) -> None:
    delivery = a_drop()
    name, other = "customers.csv", delivery.drop.files["customers.csv"].replace(b"Ada", b"Eve")
    async with courier.held_at("load_file"):
        await courier.leave(delivery)
        await courier.wait_until_held(ADD_FILE)
        if is_replaced:
            await courier.write(delivery, name, other)
        else:
            await courier.delete(delivery, name)
    found = await courier.storage.stat(delivery.manifest_name)
    assert found is not None
    outcome = await courier.follow(delivery, found.generation)
    failure = assert_failed(outcome, "file.changed")
    assert (failure["file"], name in failure["message"]) == (name, True)
    assert not any(outcome.standing.values())


@pytest.mark.bad_input(22)
@pytest.mark.parametrize(
    "kind", [ReadFaultKind.SHORT, ReadFaultKind.RESET, ReadFaultKind.UNAVAILABLE]
)
async def test_a_read_that_breaks_is_made_again_and_the_load_is_taken(
    courier: Courier, monkeypatch: pytest.MonkeyPatch, kind: ReadFaultKind
) -> None:
    delivery, stack = a_drop(), courier.stack
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    async with AsyncExitStack() as running:
        proxies: dict[str, GcsProxy] = {}
        urls: dict[str, str] = {}
        for stage in (VALIDATOR, STAGER):
            host, _, port = urlsplit(stack.storage_emulator_host).netloc.partition(":")
            proxy = proxies[stage.name] = GcsProxy(host, int(port))
            running.push_async_callback(proxy.close)
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{await proxy.start()}")
            proxy.arm(ReadFault(f"media {delivery.drop.prefix}vehicles.csv", kind))
            urls[stage.name] = await running.enter_async_context(served(stage))
        topology.subscribe_services(stack.pubsub_emulator_host, stack.project, urls)
        try:
            outcome = await courier.bring(delivery)
        finally:
            real = {name: service.url for name, service in stack.services.items()}
            topology.subscribe_services(stack.pubsub_emulator_host, stack.project, real)
    assert {name: proxy.strikes for name, proxy in proxies.items()} == {"validator": 1, "stager": 1}
    assert_reported(outcome)
    assert verdicts(outcome) == ["taken"]
    assert_told_once(outcome.notices, "reported")


@pytest.mark.bad_input(46)
async def test_a_parent_may_stand_in_an_earlier_load_but_not_in_another_partners(
    courier: Courier,
) -> None:
    ours, theirs = (f"{name}-{uuid.uuid4().hex[:10]}" for name in ("ours", "theirs"))
    key, child = "source_customer_id", [{"source_vehicle_id": "V", "source_customer_id": "C"}]
    assert_reported(await courier.bring(some_rows(ours, 0, customers=[{key: "C"}])))
    other = await courier.bring(some_rows(theirs, 1, vehicles=child))
    assert_reported(other)
    (reject,) = other.rejects.values()
    assert (reject["entity"], reject["row_no"], reject["code"]) == ("vehicles", 1, "row.orphan")
    assert (reject["column_name"], reject["source_key"]) == (key, "V")
    assert not any(other.standing.values())
    own = await courier.bring(some_rows(ours, 2, vehicles=child))
    assert_reported(own)
    assert (own.rejects, len(own.standing["vehicles"])) == ({}, 1)


@pytest.mark.bad_input(60)
async def test_an_older_load_that_comes_late_leaves_newer_rows_as_they_are_and_counts_them(
    courier: Courier,
) -> None:
    partner = f"partner-{uuid.uuid4().hex[:10]}"
    newer = await courier.bring(a_drop(partner, created_at=later(1)))
    older = a_drop(partner)
    rows = [*({**row, "city": "Rome"} for row in ROWS["customers"]), {"source_customer_id": "C9"}]
    older.drop.files["customers.csv"] = csv_bytes("customers", rows)
    late = await courier.bring(Delivery(older.drop, described(older.drop)))
    assert_reported(late)
    assert late.counts("stale") == {
        "customers": 3,
        "vehicles": 3,
        "invoices": 3,
        "line_items": 3,
    }
    assert late.counts("inserted")["customers"] == 1
    stood = {row["customer_id"]: row for row in newer.standing["customers"]}
    stands = {row["customer_id"]: row for row in late.standing["customers"]}
    assert len(stands) == 4
    assert {key: stands[key] for key in stood} == stood
