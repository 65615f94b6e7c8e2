"""The topics and subscriptions of the local stack, on the Pub/Sub emulator.

All of it can be repeated: the emulator forgets everything at a restart, and services may come back
on other ports.
"""

import contextlib
from collections.abc import Iterator, Mapping
from datetime import timedelta

import grpc
from google.api_core.exceptions import AlreadyExists, GoogleAPICallError
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import (
    DeadLetterPolicy,
    PushConfig,
    RetryPolicy,
    Subscription,
)

from crossdock.stack.errors import StackError
from shared.events import DEAD_LETTER_SUBSCRIPTION, SUBSCRIPTIONS, TOPICS, Topic

PUSH_PATH = "/pubsub/push"
LETTER_PATH = "/pubsub/dead-letter"
# A handler that is slower than this is sent the message again and again, even after it answered.
ACK_DEADLINE_SECONDS = 600
RETENTION_SECONDS = 7 * 24 * 3600
# Without a retry policy a dead-letter policy gives a message up within seconds of an outage; with
# these pauses ten deliveries outlast one of half an hour. Meanwhile the sweep brings loads on.
SHORTEST_BACKOFF_SECONDS = 10
LONGEST_BACKOFF_SECONDS = 600
MOST_DELIVERY_ATTEMPTS = 10
CALL_SECONDS = 20.0
# A subscription that nobody is pushed to: an operator's view of what comes out at the end.
PULL_SUBSCRIPTIONS: Mapping[str, Topic] = {"reported.audit": Topic.REPORTED}


def create_topics(pubsub_host: str, project: str) -> None:
    """Create the topics that are not there yet, and the subscriptions that are pulled.

    Args:
        pubsub_host: the emulator, `host:port`.
        project: the project that they belong to.

    Raises:
        StackError: the emulator refused or does not answer.
    """
    with _channel(pubsub_host) as channel:
        publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        for topic in TOPICS:
            with contextlib.suppress(AlreadyExists):
                publisher.create_topic(name=_topic_path(project, topic), timeout=CALL_SECONDS)
        subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        for name, topic in PULL_SUBSCRIPTIONS.items():
            _subscribe(subscriber, _subscription(project, name, topic))


def subscribe_services(pubsub_host: str, project: str, urls: Mapping[str, str]) -> None:
    """Point the push subscriptions at the services; one that exists is pointed anew.

    Args:
        pubsub_host: the emulator, `host:port`.
        project: the project that the topics belong to.
        urls: a service's base URL by its name; a service that is not named is left alone.

    Raises:
        StackError: the emulator refused or does not answer.
    """
    with _channel(pubsub_host) as channel:
        subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        for service, topics in SUBSCRIPTIONS.items():
            if service not in urls:
                continue
            push = PushConfig(push_endpoint=urls[service].rstrip("/") + PUSH_PATH)
            for topic in topics:
                wanted = _subscription(project, f"{service}.{topic}", topic)
                wanted.push_config = push
                wanted.dead_letter_policy = DeadLetterPolicy(
                    dead_letter_topic=_topic_path(project, Topic.DEAD_LETTER),
                    max_delivery_attempts=MOST_DELIVERY_ATTEMPTS,
                )
                _subscribe(subscriber, wanted)
        if "reporter" in urls:
            # Without a dead-letter policy: a letter that is given up here would be lost.
            letters = _subscription(project, DEAD_LETTER_SUBSCRIPTION, Topic.DEAD_LETTER)
            endpoint = urls["reporter"].rstrip("/") + LETTER_PATH
            letters.push_config = PushConfig(push_endpoint=endpoint)
            _subscribe(subscriber, letters)


def _subscribe(subscriber: SubscriberClient, wanted: Subscription) -> None:
    try:
        subscriber.create_subscription(request=wanted, timeout=CALL_SECONDS)
    except AlreadyExists:
        if wanted.push_config.push_endpoint:
            subscriber.modify_push_config(
                subscription=wanted.name, push_config=wanted.push_config, timeout=CALL_SECONDS
            )


def _subscription(project: str, name: str, topic: str) -> Subscription:
    return Subscription(
        name=f"projects/{project}/subscriptions/{name}",
        topic=_topic_path(project, topic),
        ack_deadline_seconds=ACK_DEADLINE_SECONDS,
        retain_acked_messages=True,
        message_retention_duration=timedelta(seconds=RETENTION_SECONDS),
        retry_policy=RetryPolicy(
            minimum_backoff=timedelta(seconds=SHORTEST_BACKOFF_SECONDS),
            maximum_backoff=timedelta(seconds=LONGEST_BACKOFF_SECONDS),
        ),
    )


def _topic_path(project: str, topic: str) -> str:
    return f"projects/{project}/topics/{topic}"


@contextlib.contextmanager
def _channel(pubsub_host: str) -> Iterator[grpc.Channel]:
    """A connection to the emulator; what it refuses comes out as a StackError."""
    with grpc.insecure_channel(pubsub_host) as channel:
        try:
            yield channel
        except GoogleAPICallError as error:
            raise StackError(f"the Pub/Sub emulator at {pubsub_host}: {error}") from error
