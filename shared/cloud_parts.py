"""The parts of a process that works with Cloud Storage and Pub/Sub."""

from shared.bus.pubsub import PubSubBus
from shared.ledger.mysql import Ledger
from shared.partners import load_partners
from shared.settings import Settings
from shared.stage import Parts
from shared.storage.gcs import GcsStorage


def connect_parts(settings: Settings) -> Parts:
    """The parts of a service: the bucket and the topics of its project, and the ledger."""
    return Parts(
        settings=settings,
        storage=GcsStorage.connect(settings.bucket, settings.project),
        bus=PubSubBus(settings.project),
        ledger=Ledger(settings),
        partners=load_partners(settings.partners_file),
    )


async def close_parts(parts: Parts) -> None:
    """Give back what `connect_parts` opened."""
    await parts.bus.close()
    await parts.storage.close()
