"""Which server takes the mails, out of one URL; and what a mail address looks like."""

import re
from dataclasses import dataclass, field
from typing import Final, Literal, Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from shared.webhook import LOOPBACK

FORM: Final = "smtp://[user:password@]host[:587][?starttls=never] or smtps://…[:465]"
PORTS: Final = {"smtp": 587, "smtps": 465}

_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,190}")


def is_mail_address(text: str) -> bool:
    """Whether it is one plain address: no name beside it, nothing but ASCII, no line break."""
    return _ADDRESS.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mails are handed in, and as whom; never as anybody over a line that others can read."""

    host: str
    port: int
    encryption: Literal["tls", "starttls", "none"]
    user: str | None
    password: str | None = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `smtp://user:password@host:port` or `smtps://…`.

        `smtps` speaks TLS from the start. `smtp` begins in plain text and insists on STARTTLS,
        unless `?starttls=never` forbids it; then there is no login, save on this machine.

        Raises:
            ValueError: it is no such URL; the message repeats nothing of it.
        """
        parts, port = _split(url)
        if parts.scheme not in PORTS or not parts.hostname or parts.path not in {"", "/"}:
            raise ValueError(f"the form is {FORM}")
        if (parts.username is None) != (parts.password is None):
            raise ValueError("user and password of a mail server are given both, or neither")
        never = parse_qsl(parts.query, keep_blank_values=True) == [("starttls", "never")]
        if parts.fragment or (parts.query and not (never and parts.scheme == "smtp")):
            raise ValueError(f"the only option is starttls=never; the form is {FORM}")
        if never and parts.username is not None and parts.hostname not in LOOPBACK:
            raise ValueError("a password is sent over TLS only: leave starttls=never out, or both")
        return cls(
            host=parts.hostname,
            port=port or PORTS[parts.scheme],
            encryption="tls" if parts.scheme == "smtps" else "none" if never else "starttls",
            user=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
        )


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        return (parts := urlsplit(url)), parts.port
    except ValueError:
        raise ValueError(f"the form is {FORM}; percent-encode user and password") from None
