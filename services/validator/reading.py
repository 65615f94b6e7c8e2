"""A manifest that arrived, read: the manifest, or why it is none."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from services.validator.checks import check_partner, check_place
from shared.contracts.model import contracts
from shared.errors import Failure, Rejected
from shared.gcs_notification import Arrival
from shared.ledger.arrivals import ManifestFacts
from shared.manifest import (
    MANIFEST_NAME,
    Manifest,
    check_manifest_size,
    parse_manifest,
)
from shared.stage import Parts
from shared.storage.port import ObjectInfo, Storage


@dataclass(frozen=True, slots=True)
class Reading:
    """A manifest generation as it was read: its bytes, and the manifest or why it is none."""

    arrival: Arrival
    source_system: str
    data: bytes | None
    manifest: Manifest | None
    failure: Failure | None

    @property
    def facts(self) -> ManifestFacts:
        """What the decision needs."""
        return ManifestFacts(
            self.arrival.load_id, self.arrival.partner, self.manifest_sha256, self.failure
        )

    @property
    def manifest_sha256(self) -> str | None:
        """The hash of the manifest's bytes, or None where they were not read."""
        return None if self.data is None else hashlib.sha256(self.data).hexdigest()


async def read_manifest(
    arrival: Arrival, found: ObjectInfo | None, parts: Parts, now: datetime
) -> Reading:
    """Read one generation and check all that can be said of it without the ledger.

    `found` is what lies in the bucket now; None says that nothing is there any more. `now` is the
    clock that created_at is held against.

    Raises:
        ObjectGone: it was replaced meanwhile.
        TransientFault: the bucket did not answer.
    """
    data = None
    source_system = arrival.partner
    try:
        source_system = check_place(arrival.partner, arrival.load_id, parts.partners)
        if found is None:
            raise _rejected("manifest.changed", "the manifest was deleted before it was read")
        check_manifest_size(found.size_bytes)
        data = await _bytes(parts.storage, arrival)
        manifest = parse_manifest(
            data, folder_load_id=arrival.load_id, now=now, contracts=contracts()
        )
        check_partner(manifest, arrival.partner, parts.partners)
    except Rejected as rejected:
        return Reading(arrival, source_system, data, None, rejected.failure)
    return Reading(arrival, source_system, data, manifest, None)


async def _bytes(storage: Storage, arrival: Arrival) -> bytes:
    chunks = storage.read(arrival.object_name, arrival.generation)
    return b"".join([chunk async for chunk in chunks])


def _rejected(code: str, message: str) -> Rejected:
    return Rejected(Failure.of(code, message, file=MANIFEST_NAME))
