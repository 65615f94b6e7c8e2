"""The adapters under test, each in front of the real thing."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from google.cloud.storage import Client

from shared.storage.directory import DirectoryStorage
from shared.storage.gcs import GcsStorage
from shared.storage.port import Storage
from tests.conformance.wiring import MemoryWiring, PubSubWiring, Wiring


def gcs_client(url: str, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
    return Client(project="crossdock-test")


@pytest.fixture
def gcs(storage_emulator: str, monkeypatch: pytest.MonkeyPatch) -> GcsStorage:
    bucket = f"conformance-{uuid4().hex}"
    gcs_client(storage_emulator, monkeypatch).create_bucket(bucket)
    return GcsStorage.connect(bucket, "crossdock-test")


@pytest.fixture
def directory(tmp_path: Path) -> DirectoryStorage:
    root = tmp_path / "bucket"
    root.mkdir()
    return DirectoryStorage(root, "conformance")


@pytest.fixture(params=["directory", "gcs"])
async def storage(request: pytest.FixtureRequest) -> AsyncIterator[Storage]:
    adapter: Storage = request.getfixturevalue(request.param)
    yield adapter
    await adapter.close()


@pytest.fixture
def pubsub(pubsub_emulator_host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that are made in this test talk to the emulator."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_emulator_host)


@pytest.fixture(params=["memory", "pubsub pulled", "pubsub pushed"])
async def wiring(request: pytest.FixtureRequest) -> AsyncIterator[Wiring]:
    if request.param == "memory":
        yield MemoryWiring()
        return
    request.getfixturevalue("pubsub")
    async with AsyncExitStack() as background:
        wiring = PubSubWiring(background, pushed=request.param == "pubsub pushed")
        yield wiring
        await wiring.bus.close()
