"""`upload`: a drop into the bucket, so that the manifest comes last and nothing is overwritten."""

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from crossdock.cli.drop import Directory, PartnerName
from crossdock.cli.environment import use_running_stack
from crossdock.cli.errors import WrongUsage
from crossdock.cli.output import show
from crossdock.offline_check import UNKNOWN_PARTNER, DropFolder, locate
from services.reporter.partner_view import ACK_NAME, ack_folder
from shared.errors import ObjectExists, ObjectGone, TransientFault
from shared.manifest import MANIFEST_NAME
from shared.settings import Settings
from shared.storage.gcs import GcsStorage
from shared.storage.port import ObjectInfo, Storage

CONTENT_TYPES = {".csv": "text/csv", ".json": "application/json"}


def upload(
    directory: Directory,
    *,
    bucket: Annotated[
        str | None,
        typer.Option("--bucket", metavar="B", help="The bucket; else CROSSDOCK_BUCKET."),
    ] = None,
    partner: PartnerName = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Overwrite what differs and send the manifest again."),
    ] = False,
) -> None:
    """Upload the drop in DIR, manifest.json last; what is there already stays as it is."""
    drop = locate(directory, partner)
    if drop.partner == UNKNOWN_PARTNER and partner is None:
        raise WrongUsage(
            f"whose drop is this? {MANIFEST_NAME} names no source_system; name the folder with "
            "--partner, or see `crossdock check`"
        )
    bucket = _bucket(bucket)
    sent = asyncio.run(upload_drop(drop, bucket, replace=replace))
    place = f"gs://{bucket}/{drop.prefix}"
    if not sent:
        show(f"{place} holds this very drop already; nothing was sent")
        return
    show(
        f"uploaded {', '.join(sent)} to {place}",
        f"Follow it with `crossdock status {drop.load_id}`.",
    )


def plan_upload(
    files: Sequence[str], there: Mapping[str, bool], *, replace: bool
) -> tuple[str, ...]:
    """Which files are to be sent, in their order.

    The manifest is the last, and is sent again whenever another file is, and whenever it is asked
    to replace: its arrival is what starts the load.

    Args:
        files: the names of the drop's files, the manifest among them.
        there: what the bucket's folder holds, and whether each has the drop's bytes.
        replace: whether files that differ may be overwritten.

    Raises:
        WrongUsage: the folder holds another drop, or this one was announced already.
    """
    strangers = sorted(set(there) - set(files))
    if strangers:
        raise WrongUsage(
            f"the folder in the bucket holds {', '.join(strangers)}, which this drop has not; "
            "remove it there, or pack the drop under a new load_id"
        )
    wanted = [name for name in files if not there.get(name, False)]
    if not wanted:
        return (MANIFEST_NAME,) if replace else ()
    different = [name for name in wanted if name in there]
    if not replace and (different or MANIFEST_NAME in there):
        what = f"other bytes as {', '.join(different)}" if different else f"its {MANIFEST_NAME}"
        raise WrongUsage(
            f"the folder in the bucket holds {what} already. If that load failed and this is the "
            "corrected drop, repeat with --replace; else pack the drop under a new load_id"
        )
    return (*(name for name in files if name in wanted and name != MANIFEST_NAME), MANIFEST_NAME)


def why_not_replaced(ack: Mapping[str, Any], manifest_sha256: str) -> str | None:
    """Why a corrected drop would be refused where it arrives, and what to do; None if it would not.

    Args:
        ack: what the bucket's ack says of the load; empty if there is none to be read.
        manifest_sha256: of the manifest that is to be sent.
    """
    if ack.get("state") != "reported" or ack.get("manifest_sha256") == manifest_sha256:
        return None
    return (
        f"load {ack.get('load_id')} was applied, and this {MANIFEST_NAME} is another than the one "
        "that it was applied from: it would be refused with manifest.load_id_reused. Pack the "
        "drop under a new load_id, with a later created_at"
    )


async def upload_drop(drop: DropFolder, bucket: str, *, replace: bool = False) -> tuple[str, ...]:
    """Send what the bucket does not have yet, the manifest last, and return the files' names.

    Raises:
        TransientFault: the bucket did not answer.
        WrongUsage: the folder holds another drop, this one was announced already, or its load was
            applied.
    """
    files = {
        path.name: path
        for path in sorted(drop.directory.iterdir())
        if path.is_file() and not path.name.startswith(".")
    }
    project = os.environ.get("CROSSDOCK_PROJECT", Settings.model_fields["project"].default)
    storage = GcsStorage.connect(bucket, project)
    try:
        there = await _what_is_there(storage, drop.prefix, files)
        names = plan_upload(list(files), there, replace=replace)
        if replace and names:
            sha256 = await asyncio.to_thread(_sha256_of, files[MANIFEST_NAME])
            refusal = why_not_replaced(await _read_ack(storage, drop), sha256.hex())
            if refusal is not None:
                raise WrongUsage(refusal)
        await _send(storage, drop.prefix, {name: files[name] for name in names}, there)
    except ObjectExists as taken:
        raise WrongUsage(f"somebody else uploads to this folder too: {taken}") from taken
    finally:
        await storage.close()
    return names


async def _read_ack(storage: Storage, drop: DropFolder) -> Mapping[str, Any]:
    """What the bucket's ack says of the drop's load; not every account that uploads may read it."""
    name = ack_folder(drop.partner, drop.load_id) + ACK_NAME
    with suppress(TransientFault, ObjectGone, ValueError):
        found = await storage.stat(name)
        if found is not None:
            data = [chunk async for chunk in storage.read(name, found.generation)]
            ack = json.loads(b"".join(data))
            return ack if isinstance(ack, dict) else {}
    return {}


async def _what_is_there(
    storage: Storage, prefix: str, files: Mapping[str, Path]
) -> dict[str, bool]:
    """Each object of the folder by its name, and whether it has the bytes of the drop's file."""
    there = {}
    for found in await storage.list_objects(prefix):
        name = found.name.removeprefix(prefix)
        if name:  # the console's own object for the folder has none
            path = files.get(name)
            there[name] = path is not None and await _has_bytes_of(path, storage, found)
    return there


async def _has_bytes_of(path: Path, storage: Storage, found: ObjectInfo) -> bool:
    if found.size_bytes != _size_bytes(path):
        return False
    sha256 = hashlib.sha256()
    async for chunk in storage.read(found.name, found.generation):
        sha256.update(chunk)
    return await asyncio.to_thread(_sha256_of, path) == sha256.digest()


def _size_bytes(path: Path) -> int:
    return path.stat().st_size


def _sha256_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


async def _send(
    storage: Storage, prefix: str, files: Mapping[str, Path], there: Mapping[str, bool]
) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    watched = sys.stderr.isatty()
    with Progress(
        *columns, TransferSpeedColumn(), console=Console(stderr=True), disable=not watched
    ) as progress:
        total_bytes = sum(map(_size_bytes, files.values()))
        task = progress.add_task("", total=total_bytes)
        for name, path in files.items():
            progress.update(task, description=name)
            sent = await storage.write(
                prefix + name,
                path,
                content_type=CONTENT_TYPES.get(path.suffix, "application/octet-stream"),
                overwrite=name in there,
            )
            progress.advance(task, sent.size_bytes)


def _bucket(named: str | None) -> str:
    use_running_stack(bucket=named)
    bucket = os.environ.get("CROSSDOCK_BUCKET")
    if not bucket:
        raise WrongUsage(
            "to which bucket? Name it with --bucket or in CROSSDOCK_BUCKET, or start the local "
            "stack with `crossdock up`"
        )
    return bucket
