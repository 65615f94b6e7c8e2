"""A notification of the bucket, read: which object generation arrived, and whether it matters."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from shared.manifest import MANIFEST_NAME

_MANIFEST = re.compile(
    rf"imports/(?P<partner>[^/]+)/(?P<load_id>[^/]+)/{re.escape(MANIFEST_NAME)}", re.DOTALL
)
_GENERATION = re.compile("[0-9]{1,19}")
FINALIZED = "OBJECT_FINALIZE"
LONGEST_NAME = 500  # characters, by which `arrival` tells one manifest from another
HIGHEST_GENERATION = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Arrival:
    """One generation of one manifest in its folder."""

    bucket: str
    object_name: str
    generation: int
    partner: str
    load_id: str

    @property
    def prefix(self) -> str:
        """The folder of the drop, with its last slash."""
        return self.object_name.removesuffix(MANIFEST_NAME)


def is_notification(attributes: Mapping[str, str]) -> bool:
    """Whether a message comes from the bucket and not from a person or a stage."""
    return "eventType" in attributes


def read_notification(attributes: Mapping[str, str], bucket: str) -> Arrival | None:
    """The manifest that a notification tells of, or None for anything else in any bucket."""
    if attributes.get("eventType") != FINALIZED or attributes.get("bucketId") != bucket:
        return None
    generation = attributes.get("objectGeneration", "")
    if not _GENERATION.fullmatch(generation) or int(generation) > HIGHEST_GENERATION:
        return None
    return arrival_of(bucket, attributes.get("objectId", ""), int(generation))


def read_foreign_notification(attributes: Mapping[str, str], bucket: str) -> Arrival | None:
    """The manifest that a notification tells of in any bucket but this one, or None."""
    elsewhere = attributes.get("bucketId", bucket)
    return None if elsewhere == bucket else read_notification(attributes, elsewhere)


def is_name_too_long(attributes: Mapping[str, str], bucket: str) -> bool:
    """Whether a notification tells of a manifest that is none for its name's length alone."""
    name = attributes.get("objectId", "")
    is_arrival = attributes.get("eventType") == FINALIZED and attributes.get("bucketId") == bucket
    return is_arrival and len(name) > LONGEST_NAME and _MANIFEST.fullmatch(name) is not None


def arrival_of(bucket: str, object_name: str, generation: int) -> Arrival | None:
    """The arrival of an object, or None where it is no manifest in a drop's folder."""
    match = _MANIFEST.fullmatch(object_name)
    if match is None or len(object_name) > LONGEST_NAME:
        return None
    return Arrival(bucket, object_name, generation, match["partner"], match["load_id"])


def notification_of(bucket: str, object_name: str, generation: int) -> dict[str, str]:
    """The attributes by which a bucket tells of a new object generation."""
    return {
        "eventType": FINALIZED,
        "bucketId": bucket,
        "objectId": object_name,
        "objectGeneration": str(generation),
    }
