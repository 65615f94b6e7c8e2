"""The token of a push: which one opens the door, checked against real keys and certificates."""

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from google.auth import crypt, jwt, transport
from google.auth.exceptions import TransportError
from structlog.testing import capture_logs

from shared.push import TokenVerifier
from tests.unit.test_push import Recorder, envelope, post

AUDIENCE = "https://validator.example/pubsub/push"
ACCOUNT = "pusher@project.iam.example"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key as Google has them: it signs tokens, and its certificate is published."""

    key_id: str
    private: bytes
    certificate: str

    @classmethod
    def create(cls, key_id: str) -> "SigningKey":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(key, hashes.SHA256())
        )
        return cls(
            key_id,
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            ),
            certificate.public_bytes(serialization.Encoding.PEM).decode(),
        )

    def sign(self, **changes: object) -> str:
        now = int(time.time())
        claims = {
            "iss": "https://accounts.google.com",
            "aud": AUDIENCE,
            "iat": now - 10,
            "exp": now + 3600,
            "email": ACCOUNT,
            "email_verified": True,
            **changes,
        }
        signer = crypt.RSASigner.from_string(self.private, self.key_id)  # type: ignore[no-untyped-call]
        kept = {name: value for name, value in claims.items() if value is not None}
        token: bytes = jwt.encode(signer, kept)  # type: ignore[no-untyped-call]
        return token.decode()


@dataclass(slots=True)
class CertificatesAnswer(transport.Response):
    """An HTTP answer."""

    status: int
    data: bytes
    headers: dict[str, str]


@dataclass(slots=True)
class Certificates(transport.Request):
    """The place where the issuer publishes its certificates."""

    answer: CertificatesAnswer | Exception
    fetches: int = field(default=0, init=False)

    @classmethod
    def of(cls, *keys: SigningKey, cache_control: str = "public, max-age=20000") -> "Certificates":
        data = json.dumps({key.key_id: key.certificate for key in keys}).encode()
        return cls(CertificatesAnswer(200, data, {"Cache-Control": cache_control}))

    def __call__(self, *_: Any, **__: Any) -> CertificatesAnswer:
        self.fetches += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey.create("key-1")


async def status_of(verifier: TokenVerifier, authorization: str | None) -> int:
    handler = Recorder()
    response = await post(handler, envelope(), verifier=verifier, authorization=authorization)
    taken = response.status_code == 204
    assert bool(handler.got) is taken
    assert taken or list(response.json()) == ["error"]
    return response.status_code


async def test_a_token_of_the_right_account_for_this_service_opens(key: SigningKey) -> None:
    verifier = TokenVerifier(AUDIENCE, ACCOUNT, fetch=Certificates.of(key))
    assert await status_of(verifier, f"Bearer {key.sign()}") == 204
    assert await status_of(verifier, f"bearer {key.sign(iss='accounts.google.com')}") == 204


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer  ", "Basic dTpw"])
async def test_no_token_is_401(key: SigningKey, authorization: str | None) -> None:
    verifier = TokenVerifier(AUDIENCE, ACCOUNT, fetch=Certificates.of(key))
    assert await status_of(verifier, authorization) == 401


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://reporter.example/pubsub/push"},
        {"aud": AUDIENCE + "/"},
        {"aud": [AUDIENCE]},
        {"aud": None},
        {"iss": "https://issuer.example"},
        {"iss": None},
        pytest.param({"exp": int(time.time()) - 60}, id="expired a minute ago"),
        pytest.param(
            {"iat": int(time.time()) + 36_000, "exp": int(time.time()) + 40_000},
            id="issued in ten hours",
        ),
        {"exp": None},
        {"email": "someone@project.iam.example"},
        {"email": ACCOUNT.upper()},
        {"email": f"{ACCOUNT} "},
        {"email": [ACCOUNT]},
        {"email": None},
        {"email_verified": False},
        {"email_verified": "true"},
        {"email_verified": None},
    ],
    ids=str,
)
async def test_a_token_with_a_wrong_claim_is_403(
    key: SigningKey, claims: dict[str, object]
) -> None:
    verifier = TokenVerifier(AUDIENCE, ACCOUNT, fetch=Certificates.of(key))
    assert await status_of(verifier, f"Bearer {key.sign(**claims)}") == 403


def unsigned(token: str) -> str:
    return token.rpartition(".")[0] + "."


def without_algorithm(token: str) -> str:
    header = base64.urlsafe_b64encode(b'{"alg": "none", "kid": "key-1"}').decode().rstrip("=")
    return f"{header}.{token.split('.')[1]}."


def with_other_claims(token: str) -> str:
    header, _, signature = token.split(".")
    other = SigningKey.create("key-1").sign(email="other@x.example").split(".")[1]
    return f"{header}.{other}.{signature}"


def with_bottomless_header(token: str) -> str:
    header = base64.urlsafe_b64encode(b"[" * 30_000).decode()
    return f"{header}.{token.partition('.')[2]}"


@pytest.mark.parametrize(
    "forge",
    [
        unsigned,
        without_algorithm,
        with_other_claims,
        with_bottomless_header,
        lambda _: SigningKey.create("key-1").sign(),
        lambda _: SigningKey.create("key-2").sign(),
        lambda _: "no-token",
        lambda _: "a.b.c",
        lambda _: "W10.W10.W10",
    ],
)
async def test_a_forged_token_is_403(key: SigningKey, forge: Callable[[str], str]) -> None:
    verifier = TokenVerifier(AUDIENCE, ACCOUNT, fetch=Certificates.of(key))
    assert await status_of(verifier, f"Bearer {forge(key.sign())}") == 403


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": "https://x.example"}, "Token has wrong audience https://x.example"),
        ({"exp": 1}, "Token expired"),
        ({"iss": "https://x.example"}, "no token that Google signed"),
        ({"email": "other@x.example"}, f"signed for other@x.example, expected {ACCOUNT}"),
    ],
)
async def test_why_a_token_was_refused_is_for_the_log_and_not_for_the_caller(
    key: SigningKey, claims: dict[str, object], reason: str
) -> None:
    verifier = TokenVerifier(AUDIENCE, ACCOUNT, fetch=Certificates.of(key))
    token = key.sign(**claims)
    with capture_logs() as logs:
        response = await post(
            Recorder(), envelope(), verifier=verifier, authorization=f"Bearer {token}"
        )
    assert response.json() == {"error": "the token is not valid for this service"}
    (entry,) = logs
    assert entry["event"] == "push.token_refused"
    assert reason in entry["reason"]
    assert token not in str(entry)


@pytest.mark.parametrize(
    "answer",
    [
        TransportError("connection refused"),  # type: ignore[no-untyped-call]
        CertificatesAnswer(500, b"{}", {}),
        CertificatesAnswer(200, b"<html>sign in</html>", {}),
        CertificatesAnswer(200, b"\xff", {}),
        CertificatesAnswer(200, b"[]", {}),
    ],
    ids=str,
)
async def test_certificates_that_cannot_be_had_are_503_and_not_remembered(
    key: SigningKey, answer: CertificatesAnswer | Exception
) -> None:
    certificates = Certificates.of(key)
    good, certificates.answer = certificates.answer, answer
    verifier = TokenVerifier(AUDIENCE, ACCOUNT, fetch=certificates)
    assert await status_of(verifier, f"Bearer {key.sign()}") == 503
    certificates.answer = good
    assert await status_of(verifier, f"Bearer {key.sign()}") == 204


async def test_certificates_are_fetched_once_while_they_may_be_kept(key: SigningKey) -> None:
    certificates = Certificates.of(key)
    verifier = TokenVerifier(AUDIENCE, ACCOUNT, fetch=certificates)
    for _ in range(3):
        assert await status_of(verifier, f"Bearer {key.sign()}") == 204
    assert certificates.fetches == 1


async def test_certificates_are_fetched_again_when_their_time_is_over(
    key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_seconds = 1000.0
    clock = SimpleNamespace(monotonic=lambda: now_seconds)
    monkeypatch.setattr("shared.push.time", clock)
    certificates = Certificates.of(key, cache_control="max-age=300")
    verifier = TokenVerifier(AUDIENCE, ACCOUNT, fetch=certificates)
    await verifier.verify(key.sign())
    now_seconds += 299
    await verifier.verify(key.sign())
    assert certificates.fetches == 1
    successor = SigningKey.create("key-2")
    certificates.answer = Certificates.of(successor).answer
    now_seconds += 2
    await verifier.verify(successor.sign())
    assert certificates.fetches == 2


@pytest.mark.parametrize(("audience", "account"), [("", ACCOUNT), (AUDIENCE, "")])
def test_a_verifier_without_an_audience_or_an_account_cannot_be_made(
    audience: str, account: str
) -> None:
    with pytest.raises(ValueError, match="audience and its account"):
        TokenVerifier(audience, account)
