"""`upload`, `replay`, `sweep` and `run gs://` against the real emulators."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.cloud.pubsub_v1 import SubscriberClient
from google.cloud.storage import Client
from typer.testing import CliRunner, Result

from crossdock import pack
from crossdock.cli import environment
from crossdock.cli.app import app
from tests.conftest import BUCKET, PROJECT
from tests.drops import Drop

cli = CliRunner()


@pytest.fixture(autouse=True)
def _surroundings(
    database_url: str,
    pubsub_emulator_host: str,
    storage_emulator: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The emulators and a database of the test's own; no local stack of this machine."""
    monkeypatch.setenv("CROSSDOCK_MYSQL_URL", database_url)
    monkeypatch.setenv("CROSSDOCK_PROJECT", PROJECT)
    monkeypatch.setenv("CROSSDOCK_BUCKET", BUCKET)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_emulator_host)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage_emulator)
    monkeypatch.setattr(environment, "STATE_DIR", tmp_path / "no-stack")


@pytest.fixture
def drop() -> Drop:
    """A drop that no other test has."""
    return Drop(load_id=f"L-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def staged_messages(pubsub_emulator_host: str) -> Iterator[list[dict[str, Any]]]:
    """What is published on `staged` during the test, read when the test asks."""
    path = f"projects/{PROJECT}/subscriptions/test-{uuid.uuid4().hex[:8]}"
    with SubscriberClient() as subscriber:
        subscriber.create_subscription(name=path, topic=f"projects/{PROJECT}/topics/staged")

        class Messages(list[dict[str, Any]]):
            def __iter__(self) -> Iterator[dict[str, Any]]:
                pulled = subscriber.pull(subscription=path, max_messages=10, timeout=10)
                return iter([json.loads(it.message.data) for it in pulled.received_messages])

        yield Messages()
        subscriber.delete_subscription(subscription=path)


def crossdock(*words: str | Path) -> Result:
    return cli.invoke(app, [str(word) for word in words])


def generations(drop: Drop) -> dict[str, int]:
    """The live objects of the drop's folder."""
    client = Client(project=PROJECT)
    blobs = client.list_blobs(BUCKET, prefix=drop.prefix)
    return {blob.name.removeprefix(drop.prefix): int(blob.generation) for blob in blobs}


def test_a_drop_is_uploaded_whole_with_its_manifest_last(drop: Drop, tmp_path: Path) -> None:
    folder = drop.write(tmp_path)
    (folder / ".DS_Store").write_bytes(b"not a part of it")
    uploaded = crossdock("upload", folder)
    assert uploaded.exit_code == 0, uploaded.output
    assert f"crossdock status {drop.load_id}" in uploaded.stdout
    there = generations(drop)
    assert set(there) == {*drop.files, "manifest.json"}
    assert max(there, key=lambda name: there[name]) == "manifest.json"
    again = crossdock("upload", folder, "--bucket", BUCKET)
    assert again.exit_code == 0
    assert "nothing was sent" in again.stdout
    assert generations(drop) == there


def test_another_drop_of_the_same_name_is_not_overwritten(drop: Drop, tmp_path: Path) -> None:
    folder = drop.write(tmp_path)
    crossdock("upload", folder)
    there = generations(drop)
    (folder / "customers.csv").write_bytes(drop.files["customers.csv"] + b"C9,,,,,,,,,,,\n")
    pack.pack(folder, drop.load_id, drop.partner, datetime(2026, 1, 1, tzinfo=UTC))
    refused = crossdock("upload", folder)
    assert refused.exit_code == 2
    assert "customers.csv" in refused.stderr
    assert generations(drop) == there


def test_a_correction_is_uploaded_when_asked_for_and_announced_anew(
    drop: Drop, tmp_path: Path
) -> None:
    good = drop.files["customers.csv"]
    folder = drop.write(tmp_path)
    (folder / "customers.csv").write_bytes(good.replace(b"Ada", b"Bea"))
    crossdock("upload", folder)
    there = generations(drop)
    (folder / "customers.csv").write_bytes(good)
    assert crossdock("upload", folder).exit_code == 2
    assert crossdock("upload", folder, "--replace").exit_code == 0
    now_there = generations(drop)
    changed = {name for name in now_there if now_there[name] != there[name]}
    assert changed == {"customers.csv", "manifest.json"}
    assert now_there["manifest.json"] > now_there["customers.csv"]


def test_a_drop_in_the_bucket_is_run_here_and_then_replayed_by_message(
    drop: Drop, tmp_path: Path, staged_messages: list[dict[str, Any]]
) -> None:
    crossdock("upload", drop.write(tmp_path))
    ran = crossdock("run", f"gs://{BUCKET}/{drop.prefix}", "--json")
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["reconciled"] is True
    assert ran.stderr == ""
    replayed = crossdock("replay", drop.load_id, "--from", "upserter", "--reason", "to see")
    assert replayed.exit_code == 0, replayed.output
    assert list(staged_messages) == [{"load_id": drop.load_id, "reason": "to see"}]


def test_a_correction_of_a_load_that_was_applied_is_not_sent(drop: Drop, tmp_path: Path) -> None:
    folder = drop.write(tmp_path)
    crossdock("upload", folder)
    assert crossdock("run", f"gs://{BUCKET}/{drop.prefix}").exit_code == 0
    there = generations(drop)
    (folder / "customers.csv").write_bytes(drop.files["customers.csv"] + b"C9,,,,,,,,,,,\n")
    manifest = (folder / "manifest.json").read_bytes()
    pack.pack(folder, drop.load_id, drop.partner, datetime(2026, 1, 1, tzinfo=UTC))
    refused = crossdock("upload", folder, "--replace")
    assert refused.exit_code == 2
    assert "manifest.load_id_reused" in refused.stderr
    assert generations(drop) == there
    (folder / "manifest.json").write_bytes(manifest)
    (folder / "customers.csv").write_bytes(drop.files["customers.csv"])
    assert crossdock("upload", folder, "--replace").exit_code == 0


def test_a_folder_of_the_bucket_without_a_manifest_is_not_found() -> None:
    result = crossdock("run", f"gs://{BUCKET}/imports/acme/never-uploaded/")
    assert result.exit_code == 4
    assert "manifest.json" in result.stderr


def test_a_sweep_tells_what_it_did(drop: Drop, tmp_path: Path) -> None:
    crossdock("upload", drop.write(tmp_path))
    swept = crossdock("sweep", "--json")
    assert swept.exit_code == 0, swept.output
    document = json.loads(swept.stdout)
    assert document.keys() == {"woken", "published", "noticed", "told"}
    assert document["noticed"] >= 1
