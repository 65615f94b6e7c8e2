"""Where cards may be sent: to a webhook of Teams Workflows, and nowhere else."""

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

# The Logic Apps and the Power Platform environments of each of Microsoft's clouds.
HOST_SUFFIXES: Final = (
    ".environment.api.powerplatform.com",
    ".environment.api.gov.powerplatform.microsoft.us",
    ".environment.api.high.powerplatform.microsoft.us",
    ".environment.api.appsplatform.us",
    ".environment.api.powerplatform.partner.microsoftonline.cn",
    ".logic.azure.com",
    ".logic.azure.us",
    ".logic.azure.cn",
)
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

_HOST_NAME = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
_PRINTABLE = re.compile(r"[!-~]+")


def check_webhook_url(url: str, *, loopback_allowed: bool) -> None:
    """See that a webhook is one of Teams Workflows.

    Args:
        url: the webhook; its path and its query are a secret.
        loopback_allowed: whether a plain `http` address of this machine will do, too.

    Raises:
        ValueError: it is not; the message repeats nothing of the URL.
    """
    if not _PRINTABLE.fullmatch(url):
        raise ValueError("the webhook has a blank or a character that is not ASCII; encode it")
    parts, port = _split(url)
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("a webhook has neither user nor password nor fragment")
    host = parts.hostname or ""
    if parts.scheme == "http" and host in LOOPBACK:
        if loopback_allowed:
            return
        raise ValueError(
            "http on this machine will do only where PUBSUB_EMULATOR_HOST is set, as for what "
            "`crossdock up` starts; else a webhook begins with https://"
        )
    if parts.scheme != "https" or port not in {None, 443}:
        raise ValueError("a webhook begins with https:// and has no port but 443")
    if not (_HOST_NAME.fullmatch(host) and host.endswith(HOST_SUFFIXES)):
        raise ValueError(
            "the host is none that Teams Workflows listens on: its name ends with one of "
            + ", ".join(HOST_SUFFIXES)
        )


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        return (parts := urlsplit(url)), parts.port
    except ValueError:
        raise ValueError("the webhook is no URL") from None
