"""A folder of this machine as a bucket: the name by which the ledger knows it, and back."""

import socket
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOCAL_SCHEME = "file://"


def bucket_of(directory: Path) -> str:
    """The name of this very folder; no other machine has one like it."""
    host = socket.gethostname()
    return directory.resolve().as_uri().replace(LOCAL_SCHEME, f"{LOCAL_SCHEME}{host}", 1)


def place_of(bucket: str) -> str | None:
    """Where the folder behind a bucket's name lies, for people; None if it is a real bucket."""
    if not bucket.startswith(LOCAL_SCHEME):
        return None
    parts = urlsplit(bucket)
    return f"the folder {unquote(parts.path)} of {parts.netloc}"
