"""What the bucket adds to the promises of every storage: encodings, and faults of the network."""

import gzip
import os
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from shared.errors import TransientFault
from shared.storage.gcs import GcsStorage
from tests.conformance.conftest import gcs_client
from tests.conformance.test_storage import LARGER_THAN_A_WINDOW, content, put
from tests.faults.gcs_proxy import GcsProxy, ReadFault, ReadFaultKind


async def test_a_gzipped_object_arrives_as_it_is_stored(
    gcs: GcsStorage, storage_emulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = gzip.compress(b"a,b\n" * 1000)
    blob = gcs_client(storage_emulator, monkeypatch).bucket(gcs.bucket).blob("imports/p/l/a.csv")
    blob.content_encoding = "gzip"
    blob.upload_from_string(stored)
    (info,) = await gcs.list_objects("imports/")
    assert (info.content_encoding, info.size_bytes) == ("gzip", len(stored))
    assert await gcs.stat("imports/p/l/a.csv") == info
    assert await content(gcs, info.name, info.generation) == stored


def through_proxy(
    gcs: GcsStorage, proxy_port: int, monkeypatch: pytest.MonkeyPatch, *, patience_seconds: float
) -> GcsStorage:
    client = gcs_client(f"http://127.0.0.1:{proxy_port}", monkeypatch)
    return GcsStorage(client, gcs.bucket, patience_seconds=patience_seconds)


@pytest.fixture
async def proxy(storage_emulator: str) -> AsyncIterator[GcsProxy]:
    host, _, port = urlsplit(storage_emulator).netloc.partition(":")
    made = GcsProxy(host, int(port))
    yield made
    await made.close()


async def test_a_connection_that_breaks_once_half_way_is_taken_up_again(
    gcs: GcsStorage, proxy: GcsProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = os.urandom(LARGER_THAN_A_WINDOW)
    generation = await put(gcs, "imports/p/l/customers.csv", data)
    proxied = through_proxy(gcs, await proxy.start(), monkeypatch, patience_seconds=20)
    proxy.arm(ReadFault("media imports/p/l/customers.csv", ReadFaultKind.RESET))
    assert await content(proxied, "imports/p/l/customers.csv", generation) == data
    await proxied.close()
    assert proxy.strikes == 1


async def test_a_connection_that_keeps_breaking_half_way_is_a_transient_fault(
    gcs: GcsStorage, proxy: GcsProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = await put(gcs, "imports/p/l/customers.csv", os.urandom(LARGER_THAN_A_WINDOW))
    proxied = through_proxy(gcs, await proxy.start(), monkeypatch, patience_seconds=1)
    proxy.arm(ReadFault("media imports/p/l/customers.csv", ReadFaultKind.RESET, times=1_000_000))
    with pytest.raises(TransientFault, match=rf"{gcs.bucket}, reading 'imports/p/l/customers"):
        await content(proxied, "imports/p/l/customers.csv", generation)
    await proxied.close()
    assert proxy.struck


async def test_an_emulator_that_is_not_there_is_a_transient_fault_of_every_call(
    monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    client = gcs_client(f"http://127.0.0.1:{unused_tcp_port}", monkeypatch)
    gcs = GcsStorage(client, "nobody", patience_seconds=0.5)
    for call in (
        gcs.list_objects("imports/"),
        gcs.stat("imports/p/l/a.csv"),
        gcs.write("acks/p/l/ack.json", b"{}", content_type="application/json", overwrite=True),
        content(gcs, "imports/p/l/a.csv", 1),
    ):
        with pytest.raises(TransientFault, match="bucket nobody, "):
            await call


async def test_a_bucket_that_does_not_exist_is_not_an_empty_one(
    gcs: GcsStorage, storage_emulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = GcsStorage(gcs_client(storage_emulator, monkeypatch), "absent")
    with pytest.raises(TransientFault, match="bucket absent, listing"):
        await absent.list_objects("")
