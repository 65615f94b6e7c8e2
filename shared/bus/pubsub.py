"""Google Cloud Pub/Sub as the bus, or its emulator where PUBSUB_EMULATOR_HOST names one."""

import asyncio
from collections.abc import Mapping

from google.api_core.exceptions import GoogleAPIError, NotFound
from google.api_core.retry import Retry, if_transient_error
from google.auth.exceptions import GoogleAuthError
from google.cloud.pubsub_v1 import PublisherClient
from google.cloud.pubsub_v1.types import BatchSettings

from shared.errors import TransientFault
from shared.telemetry import tracing

PUBLISH_SECONDS = 15.0

# A stage publishes one event at a time and waits for it: nothing is gained by collecting some.
_AT_ONCE = BatchSettings(max_messages=1)


class PubSubBus:
    """Publishes to the topics of one Google Cloud project.

    The credentials are those that this process runs under; an emulator needs none.
    """

    def __init__(self, project: str) -> None:
        self._project = project
        self._publisher = PublisherClient(batch_settings=_AT_ONCE)

    async def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        """Hand a message to Pub/Sub for good and return its id.

        Raises:
            TransientFault: Pub/Sub did not confirm it within PUBLISH_SECONDS, or has no such topic.
        """
        with tracing.publishing(topic, attributes) as traced:
            return await self._publish(topic, data, traced)

    async def close(self) -> None:
        """Send what is under way and give back the connection and the threads."""
        await asyncio.to_thread(self._stop)

    async def _publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        path = f"projects/{self._project}/topics/{topic}"
        confirmed = self._publisher.publish(
            path,
            data,
            retry=Retry(predicate=if_transient_error, initial=0.1, timeout=PUBLISH_SECONDS),
            timeout=PUBLISH_SECONDS,
            **attributes,
        )
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                message_id: str = await asyncio.wrap_future(confirmed)
        except NotFound as fault:
            raise TransientFault(
                f"topic {path} does not exist: create it (`crossdock up` does on this "
                "machine); the event waits in the outbox"
            ) from fault
        except TimeoutError as fault:
            raise TransientFault(
                f"topic {path}: no confirmation within {PUBLISH_SECONDS:g} s"
            ) from fault
        except (GoogleAPIError, GoogleAuthError) as fault:
            raise TransientFault(f"topic {path}: {type(fault).__name__}: {fault}") from fault
        return message_id

    def _stop(self) -> None:
        self._publisher.stop()
        self._publisher.transport.close()
