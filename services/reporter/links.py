"""Where people look further: the console of Google Cloud, if the drop lies in a real bucket."""

import json
import os
from typing import Final
from urllib.parse import quote

from services.reporter.partner_view import ack_folder
from shared.manifest import is_load_id
from shared.notices import Notice
from shared.stage import Parts

CONSOLE: Final = "https://console.cloud.google.com"

Links = tuple[tuple[str, str], ...]


def links_of(notice: Notice, parts: Parts) -> Links:
    """The links of a notice; none for a folder of this machine or a bucket of the emulator."""
    if parts.storage.read_only or "STORAGE_EMULATOR_HOST" in os.environ:
        return ()
    return console_links(notice, parts.storage.bucket, parts.settings.project)


def console_links(notice: Notice, bucket: str, project: str) -> Links:
    """The drop, what its partner was told, and the log lines of the load, each with its title.

    Args:
        notice: whose links they are.
        bucket: the bucket that the drop lies in.
        project: the Google Cloud project whose logs they are.
    """
    body = notice.body
    folder = body.get("folder") or f"{body.get('object', '').rpartition('/')[0]}/"
    acks = ack_folder(body.get("partner", ""), body["load_id"])
    # A browser follows the dots of a folder that is called `..`, to some other place.
    drop = [("Drop", folder)] if is_load_id(body["load_id"]) else []
    folders = (*drop, ("Acks", acks))
    browser = f"{CONSOLE}/storage/browser/{quote(bucket)}"
    logs = f"{CONSOLE}/logs/query;query={quote(_log_query(notice), safe='')}?project={project}"
    return (*((title, f"{browser}/{quote(name)}") for title, name in folders), ("Logs", logs))


def _log_query(notice: Notice) -> str:
    """The lines of the load since the run began; a time in the query goes before the page's own."""
    query = f"jsonPayload.load_id={json.dumps(notice.body['load_id'])}"
    begun_at = notice.body.get("started_at")
    return f'{query} timestamp>="{begun_at}"' if begun_at else query
