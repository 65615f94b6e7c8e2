"""A real HTTP endpoint and a real mail server, which can also be slow, silent or unwilling."""

import asyncio
import ipaddress
import json
import ssl
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PATIENCE_SECONDS = 20.0
HANG_UP = 0


@dataclass
class Webhook:
    """What a webhook was sent, and how it meets what comes next: a status, or HANG_UP."""

    url: str
    received: list[dict[str, Any]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    content_types: list[str] = field(default_factory=list)
    answers: deque[int] = field(default_factory=deque)
    location: str | None = None
    may_answer: threading.Event = field(default_factory=threading.Event)

    @property
    def texts(self) -> list[str]:
        """The text runs of each card that came."""
        return ["\n".join(text_runs(message)) for message in self.received]


def text_runs(node: object) -> Iterator[str]:
    """Every text of a card, in order."""
    if isinstance(node, list):
        for item in node:
            yield from text_runs(item)
    elif isinstance(node, dict):
        if node.get("type") == "TextRun":
            yield node["text"]
        for item in node.values():
            yield from text_runs(item)


@contextmanager
def webhook(path: str = "/workflows/1?sig=none") -> Iterator[Webhook]:
    """A webhook on this machine, for as long as the body runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.received.append(json.loads(body))
            hook.sizes.append(len(body))
            hook.content_types.append(self.headers["Content-Type"])
            hook.may_answer.wait(PATIENCE_SECONDS)
            status = hook.answers.popleft() if hook.answers else 202
            if status == HANG_UP:
                self.close_connection = True
                return
            self.send_response(status)
            if hook.location is not None:
                self.send_header("Location", hook.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook = Webhook(f"http://127.0.0.1:{server.server_port}{path}")
    hook.may_answer.set()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hook
    finally:
        hook.may_answer.set()
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Mailbox:
    """The mails that a server took, and how it meets the next."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    receivers: list[list[str]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    hang_ups: int = 0
    unknown: frozenset[str] = frozenset()
    takes_logins: bool = True
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd looks for this name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.unknown:
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd looks for this name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        content = envelope.original_content
        assert content is not None
        self.mails.append(BytesParser(EmailMessage, policy=policy.default).parsebytes(content))
        self.receivers.append([str(address) for address in envelope.rcpt_tos])
        await self.may_answer.wait()
        if self.hang_ups:
            self.hang_ups -= 1
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return "250 OK"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        secret = data.password.decode()
        self.logins.append(secret)
        # A server may well quote what it was sent.
        refusal = None if self.takes_logins else f"535 5.7.8 {secret} is no password"
        return AuthResult(success=self.takes_logins, handled=False, message=refusal)


@asynccontextmanager
async def mail_server(certificate: Path | None = None) -> AsyncIterator[Mailbox]:
    """A mail server on this machine for as long as the body runs; with TLS by a certificate."""
    tls = None
    if certificate is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
    mailbox = Mailbox()
    mailbox.may_answer.set()

    def protocol() -> SMTP:
        return SMTP(
            mailbox,
            hostname="localhost",
            authenticator=mailbox.authenticate,
            auth_require_tls=False,
            tls_context=tls,
        )

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        mailbox.may_answer.set()
        server.close()
        await server.wait_closed()


def self_signed(path: Path) -> Path:
    """Write a certificate of 127.0.0.1 and its key, which nobody trusts yet."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail server of a test")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(here, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path
