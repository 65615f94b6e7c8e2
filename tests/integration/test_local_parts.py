"""Each part of the local stack by itself, as the real program."""

import os
import queue
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import httpx
import pymysql
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Bucket, Client
from google.oauth2.service_account import Credentials
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import PubsubMessage, ReceivedMessage
from pydantic import BaseModel

from crossdock.stack import mysql_server, processes, pubsub_emulator, topology
from crossdock.stack import storage_emulator as emulator
from shared.mysql.connect import MySQLAddress, connect
from tests.conftest import BUCKET, PROJECT

PATIENCE_SECONDS = 20


class Envelope(BaseModel):
    """What a push holds."""

    message: dict[str, Any]
    subscription: str


@contextmanager
def push_endpoint() -> Iterator[tuple[str, "queue.Queue[tuple[str, Envelope]]"]]:
    """A web server that takes pushes: its base URL, and what arrived as (path, envelope)."""
    taken: queue.Queue[tuple[str, Envelope]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.put((self.path, Envelope.model_validate_json(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", taken
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    arguments = MySQLAddress.parse(url).arguments()
    with closing(pymysql.connect(**arguments)) as connection:
        cursor = connection.cursor()
        cursor.execute(statement)
        connection.commit()
        return list(cursor.fetchall())


@contextmanager
def subscriber_of(host: str) -> Iterator[SubscriberClient]:
    with grpc.insecure_channel(host) as channel:
        yield SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))


def publish(host: str, topic: str, data: bytes) -> None:
    with grpc.insecure_channel(host) as channel:
        publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        publisher.publish(
            topic=f"projects/{PROJECT}/topics/{topic}", messages=[PubsubMessage(data=data)]
        )


def pull(subscriber: SubscriberClient, name: str) -> ReceivedMessage:
    answer = subscriber.pull(subscription=name, max_messages=1, timeout=PATIENCE_SECONDS)
    return answer.received_messages[0]


def notifications_to(pubsub_host: str) -> emulator.Notifications:
    return emulator.Notifications(pubsub_host, PROJECT, "manifest.arrived")


def signing_account() -> Credentials:
    """A service account that nobody knows; the emulator looks at no signature."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Credentials.from_service_account_info(  # type: ignore[no-any-return,no-untyped-call]
        {
            "client_email": "signer@example.iam.gserviceaccount.com",
            "private_key": pem.decode(),
            "token_uri": "http://127.0.0.1:9/token",
        }
    )


@pytest.fixture
def arrivals(pubsub_emulator_host: str) -> Iterator[tuple[SubscriberClient, str]]:
    """A pull subscription of this test's own on manifest.arrived."""
    name = f"projects/{PROJECT}/subscriptions/test-{uuid4()}"
    with subscriber_of(pubsub_emulator_host) as subscriber:
        subscriber.create_subscription(
            name=name, topic=f"projects/{PROJECT}/topics/manifest.arrived"
        )
        yield subscriber, name
        subscriber.delete_subscription(subscription=name)


@pytest.fixture
def bucket(storage_emulator: str) -> Iterator[Bucket]:
    client = Client(
        project=PROJECT,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": storage_emulator},
    )
    with closing(client):
        yield client.bucket(BUCKET)


def test_the_server_is_a_mysql_that_is_new_enough_and_as_durable_as_in_production(
    mysql_server_url: str,
) -> None:
    if os.environ.get("CROSSDOCK_TEST_MYSQL_URL"):
        pytest.skip("the server is somebody else's")
    [(version, flush, sync, log_bin, infile, zone)] = rows(
        mysql_server_url,
        "SELECT VERSION(), @@innodb_flush_log_at_trx_commit, @@sync_binlog, @@log_bin, "
        "@@local_infile, @@time_zone",
    )
    assert tuple(int(part) for part in version.split(".")[:2]) >= (8, 4)
    assert (flush, sync, log_bin, infile, zone) == (1, 1, 1, 1, "+00:00")


async def test_the_server_takes_connections_as_the_services_make_them(
    mysql_server_url: str,
) -> None:
    async with connect(mysql_server_url, program_name="crossdock:test") as database:
        assert await database.fetch_value("SELECT 1") == 1


def test_a_database_is_created_and_dropped_beside_the_others(mysql_server_url: str) -> None:
    name = f"odd_name_{uuid4().hex[:8]}"
    url = mysql_server.create_database(mysql_server_url, name)
    named = "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = "
    literal = f"'{name}'"
    assert url.endswith(f"/{name}")
    assert rows(mysql_server_url, named + literal) == [(1,)]
    mysql_server.drop_database(mysql_server_url, name)
    mysql_server.drop_database(mysql_server_url, name)
    assert rows(mysql_server_url, named + literal) == [(0,)]


def test_the_server_keeps_its_data_and_its_address_over_a_restart_and_over_a_crash(
    mysql_server_url: str, stack_dir: Path
) -> None:
    assert mysql_server_url  # this machine has a server program, or the test is skipped
    folder = stack_dir / "restarted"
    try:
        first = mysql_server.ensure_started(folder)
        assert mysql_server.ensure_started(folder) == first
        rows(first.url, "CREATE TABLE kept (id INT PRIMARY KEY)")
        rows(first.url, "INSERT INTO kept VALUES (1)")
        assert mysql_server.stop(folder)
        assert not mysql_server.stop(folder)
        second = mysql_server.ensure_started(folder)
        rows(second.url, "INSERT INTO kept VALUES (2)")
        processes.terminate(folder, mysql_server.PROCESS, grace_seconds=0)
        third = mysql_server.ensure_started(folder)
        assert first.url == second.url == third.url
        assert rows(third.url, "SELECT id FROM kept ORDER BY id") == [(1,), (2,)]
        password = folder / "mysql" / "password"
        assert password.stat().st_mode & 0o777 == 0o600
    finally:
        mysql_server.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


def test_a_message_is_pushed_to_the_service_that_its_topic_feeds(pubsub_emulator_host: str) -> None:
    with push_endpoint() as (url, taken):
        topology.subscribe_services(pubsub_emulator_host, PROJECT, {"stager": url})
        publish(pubsub_emulator_host, "manifest.validated", b'{"load_id": "L1"}')
        path, envelope = taken.get(timeout=PATIENCE_SECONDS)
    assert path == "/pubsub/push"
    assert envelope.subscription.endswith("/stager.manifest.validated")


def test_a_service_that_came_back_elsewhere_gets_its_messages_there(
    pubsub_emulator_host: str,
) -> None:
    topology.subscribe_services(pubsub_emulator_host, PROJECT, {"upserter": "http://127.0.0.1:9"})
    with push_endpoint() as (url, taken):
        topology.subscribe_services(pubsub_emulator_host, PROJECT, {"upserter": url})
        publish(pubsub_emulator_host, "staged", b'{"load_id": "L2"}')
        _, envelope = taken.get(timeout=PATIENCE_SECONDS)
    assert envelope.subscription.endswith("/upserter.staged")


def test_every_subscription_keeps_what_was_acknowledged_and_has_a_way_out_for_what_cannot_be(
    pubsub_emulator_host: str,
) -> None:
    # Twice: every `crossdock up` does it again.
    for _ in range(2):
        topology.create_topics(pubsub_emulator_host, PROJECT)
        topology.subscribe_services(
            pubsub_emulator_host, PROJECT, {"reporter": "http://127.0.0.1:9"}
        )
    with subscriber_of(pubsub_emulator_host) as subscriber:
        for name in ("reporter.upserted", "reporter.failed"):
            made = subscriber.get_subscription(
                subscription=f"projects/{PROJECT}/subscriptions/{name}"
            )
            assert made.push_config.push_endpoint == "http://127.0.0.1:9/pubsub/push"
            assert made.ack_deadline_seconds == 600
            assert made.retain_acked_messages
            assert made.dead_letter_policy.dead_letter_topic.endswith("/dead-letter")
            assert made.dead_letter_policy.max_delivery_attempts == 10
            assert (
                made.retry_policy.minimum_backoff.total_seconds()
                == topology.SHORTEST_BACKOFF_SECONDS
            )
        letters = subscriber.get_subscription(
            subscription=f"projects/{PROJECT}/subscriptions/reporter.dead-letter"
        )
        assert letters.push_config.push_endpoint == "http://127.0.0.1:9/pubsub/dead-letter"
        assert not letters.dead_letter_policy.dead_letter_topic
        audit = subscriber.get_subscription(
            subscription=f"projects/{PROJECT}/subscriptions/reported.audit"
        )
        assert not audit.push_config.push_endpoint


@pytest.mark.parametrize("way", ["in one request", "resumable"])
def test_an_upload_tells_its_name_and_generation_on_the_first_topic(
    bucket: Bucket, arrivals: tuple[SubscriberClient, str], way: str
) -> None:
    name = f"imports/north/{uuid4()}/manifest.json"
    blob = bucket.blob(name, chunk_size=256 * 1024 if way == "resumable" else None)
    content = b'{"load_id": "L3"}' + b" " * (600 * 1024 if way == "resumable" else 0)
    blob.upload_from_string(content, content_type="application/json")
    message = pull(*arrivals).message
    assert message.attributes["eventType"] == "OBJECT_FINALIZE"
    assert message.attributes["bucketId"] == BUCKET
    assert message.attributes["objectId"] == name
    blob.reload()
    assert message.attributes["objectGeneration"] == str(blob.generation)
    assert blob.download_as_bytes() == content


def test_a_partner_without_an_account_uploads_by_a_signed_url(
    storage_emulator: str, bucket: Bucket, arrivals: tuple[SubscriberClient, str]
) -> None:
    name = f"imports/north/{uuid4()}/manifest.json"
    url = bucket.blob(name).generate_signed_url(
        version="v4",
        expiration=timedelta(minutes=5),
        method="PUT",
        credentials=signing_account(),
        api_access_endpoint=storage_emulator,
    )
    assert url.startswith(storage_emulator)
    assert httpx.put(url, content=b"{}").status_code == 200
    assert pull(*arrivals).message.attributes["objectId"] == name
    assert bucket.blob(name).download_as_bytes() == b"{}"


def test_what_we_write_ourselves_is_not_told_as_an_arrival(
    bucket: Bucket, arrivals: tuple[SubscriberClient, str]
) -> None:
    bucket.blob(f"acks/north/{uuid4()}/ack.json").upload_from_string(b"{}")
    delivered = f"imports/north/{uuid4()}/customers.csv"
    bucket.blob(delivered).upload_from_string(b"id\n")
    assert pull(*arrivals).message.attributes["objectId"] == delivered


def test_objects_outlive_the_storage_emulator_which_comes_back_at_its_address(
    storage_emulator: str, bucket: Bucket, stack_dir: Path, pubsub_emulator_host: str
) -> None:
    blob = bucket.blob(f"imports/north/{uuid4()}/customers.csv")
    blob.upload_from_string(b"id\n1\n")
    notifications = notifications_to(pubsub_emulator_host)
    assert emulator.stop(stack_dir)
    assert emulator.ensure_started(stack_dir, notifications).url == storage_emulator
    assert blob.download_as_bytes() == b"id\n1\n"


def test_a_second_start_finds_the_emulators_running(
    storage_emulator: str, stack_dir: Path, pubsub_emulator_host: str
) -> None:
    pid = processes.alive(stack_dir, pubsub_emulator.PROCESS)
    pubsub = pubsub_emulator.ensure_started(stack_dir)
    assert (pubsub.host, pubsub.pid) == (pubsub_emulator_host, pid)
    notifications = notifications_to(pubsub_emulator_host)
    pid = processes.alive(stack_dir, emulator.PROCESS)
    again = emulator.ensure_started(stack_dir, notifications)
    assert (again.url, again.pid) == (storage_emulator, pid)
