"""TLS to MySQL with `ssl=required`, on a server that has a certificate for its address."""

import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pymysql
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from crossdock.stack import mysql_server
from shared.errors import TransientFault
from shared.mysql.connect import MySQLAddress, connect
from shared.mysql.tls import BlockingConnection

CIPHER = "SHOW SESSION STATUS LIKE 'Ssl_cipher'"


def made(
    folder: Path, name: str, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """An authority's certificate, or one that the issuer has signed for 127.0.0.1, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer, signing_key = (issuer[0].subject, issuer[1]) if issuer else (subject, key)
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(signer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(address, critical=False)
        .sign(signing_key, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, key


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the certificates lie: `authority`, `server`, and `stranger`, who signed nothing."""
    folder = tmp_path_factory.mktemp("tls")
    made(folder, "server", made(folder, "authority", None))
    made(folder, "stranger", None)
    return folder


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """A server of this module's own, which shows the certificate; its URL insists on TLS."""
    instance = mysql_server.ensure_started(folder / "stack")
    try:
        address = MySQLAddress.parse(instance.url)
        with pymysql.connect(**address.arguments()) as connection, connection.cursor() as cursor:
            for setting, file in (("ca", "authority.pem"), ("cert", "server.pem")):
                cursor.execute(f"SET GLOBAL ssl_{setting} = %s", (str(folder / file),))
            cursor.execute("SET GLOBAL ssl_key = %s", (str(folder / "server.key"),))
            cursor.execute("ALTER INSTANCE RELOAD TLS")
        yield instance.url + "?ssl=required"
    finally:
        mysql_server.stop(folder / "stack")


@pytest.fixture
def _trusting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "authority.pem"))


@pytest.mark.usefixtures("_trusting")
async def test_a_server_whose_certificate_is_trusted_is_spoken_to_in_cipher(url: str) -> None:
    async with connect(url) as database:
        row = await database.fetch_one(CIPHER)
    assert row is not None
    assert row["Value"]


@pytest.mark.usefixtures("_trusting")
def test_a_heartbeat_speaks_in_cipher_too(url: str) -> None:
    connection = BlockingConnection(**MySQLAddress.parse(url).arguments())
    try:
        with connection.cursor() as cursor:
            cursor.execute(CIPHER)
            (_, cipher) = cursor.fetchone() or ("", "")
    finally:
        connection.close()
    assert cipher


async def test_a_certificate_of_a_stranger_is_not_taken(
    url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "stranger.pem"))
    with pytest.raises(TransientFault, match="CERTIFICATE_VERIFY_FAILED"):
        async with connect(url):
            pass


@pytest.mark.usefixtures("_trusting")
async def test_a_certificate_for_another_host_is_not_taken(url: str) -> None:
    with pytest.raises(TransientFault, match=r"CERTIFICATE_VERIFY_FAILED.*localhost"):
        async with connect(url.replace("127.0.0.1", "localhost")):
            pass
