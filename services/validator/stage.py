"""The validator: manifest, folder and every byte of every file, before anything is touched."""

import asyncio

from services.validator.admission import admit
from services.validator.checks import MOST_OBJECTS, Folder, check_folder, missing_files
from services.validator.inspect import InspectedFile, inspect_file
from shared.bus.port import Message
from shared.contracts.model import Entity, contract_of
from shared.dead_letters import keep
from shared.errors import Failure, ObjectGone, Rejected
from shared.events import Event, StageName
from shared.gcs_notification import (
    is_name_too_long,
    is_notification,
    read_foreign_notification,
    read_notification,
)
from shared.ledger.lease import Claim
from shared.letters import letter_of_foreign_bucket, letter_of_long_name
from shared.manifest import Manifest, reread_manifest
from shared.mysql.queries import load_queries
from shared.stage import Parts, Stage, read_event
from shared.steps import passed
from shared.storage.port import ObjectInfo

SQL = load_queries("services.validator", "validator.sql")
POLL_SECONDS = 0.5


async def read_arrival(stage: StageName, message: Message, parts: Parts) -> Event | None:
    """A bucket's notification, admitted, or a message as every stage takes it.

    A manifest of a foreign bucket is kept for a person, for somebody has connected the wrong one,
    and so is one whose name is too long for an arrival.

    Raises:
        NotAMessage: it is neither.
        TransientFault: the bucket or the database did not answer.
    """
    if not is_notification(message.attributes):
        return await read_event(stage, message, parts)
    bucket = parts.storage.bucket
    arrival = read_notification(message.attributes, bucket)
    if arrival is not None:
        return await admit(arrival, parts)
    if is_name_too_long(message.attributes, bucket):
        await keep(letter_of_long_name(message), parts.ledger.url)
        return None
    foreign = read_foreign_notification(message.attributes, bucket)
    if foreign is not None:
        await keep(letter_of_foreign_bucket(foreign, message, bucket), parts.ledger.url)
    return None


async def validate(claim: Claim, parts: Parts) -> None:
    """Check the drop of a received load, streaming each file once at its pinned generation.

    Raises:
        Rejected: the drop is not what its manifest says.
        LeaseLost: another worker took over.
        TransientFault: the bucket or the database did not answer.
    """
    contract = contract_of(claim.load.schema_version)
    manifest = reread_manifest(claim.load.manifest or b"", claim.load.load_id)
    folder = await _complete_folder(claim, parts, manifest)
    passed("validator", "folder_complete", load_id=claim.load.load_id)
    inspected = {
        entity: await _inspect(parts, folder.files[entity.file_name], manifest, entity)
        for entity in contract.entities
    }
    async with parts.ledger.connect(claim) as database, parts.ledger.milestone(claim, database):
        for entity, found in inspected.items():
            await database.execute(
                SQL["add_file"],
                {
                    "load_id": claim.load.load_id,
                    "run": claim.run,
                    "entity": entity.name,
                    "name": entity.file_name,
                    "generation": folder.files[entity.file_name].generation,
                    "size_bytes": found.size_bytes,
                    "row_count": found.rows,
                    "sha256": found.sha256,
                },
            )


async def _complete_folder(claim: Claim, parts: Parts, manifest: Manifest) -> Folder:
    """The folder, once every listed file is there: uploads side by side may land in any order."""
    patience_ends = asyncio.get_running_loop().time() + parts.settings.missing_file_grace_seconds
    while True:
        objects = await parts.storage.list_objects(claim.load.prefix, most=MOST_OBJECTS + 1)
        folder = check_folder(manifest, claim.load.prefix, objects)
        if not folder.missing:
            return folder
        if asyncio.get_running_loop().time() >= patience_ends:
            raise Rejected(missing_files(folder, claim.load.prefix))
        await asyncio.sleep(POLL_SECONDS)


async def _inspect(
    parts: Parts, pinned: ObjectInfo, manifest: Manifest, entity: Entity
) -> InspectedFile:
    chunks = parts.storage.read(pinned.name, pinned.generation)
    try:
        inspected = await inspect_file(chunks, manifest.file(entity.file_name), entity)
    except ObjectGone as gone:
        message = f"{entity.file_name} was replaced or deleted while it was read"
        raise Rejected(Failure.of("file.changed", message, file=entity.file_name)) from gone
    passed("validator", "file_read", file=entity.file_name)
    return inspected


STAGE = Stage("validator", validate, read_arrival)
