"""Every setting of the project, out of the environment, checked once when a process starts."""

import os
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.mysql.connect import MySQLAddress
from shared.smtp import SmtpServer, is_mail_address
from shared.webhook import check_webhook_url


class SettingsError(ValueError):
    """One message that names every setting that is missing or wrong, and how to mend it."""


_before_emulators: ContextVar[bool] = ContextVar("before_emulators", default=False)


def _is_emulated() -> bool:
    return _before_emulators.get() or bool(os.environ.get("PUBSUB_EMULATOR_HOST"))


def _checked_webhook(url: SecretStr) -> SecretStr:
    check_webhook_url(url.get_secret_value(), loopback_allowed=_is_emulated())
    return url


def _checked_mail_server(url: SecretStr) -> SecretStr:
    SmtpServer.parse(url.get_secret_value())
    return url


def _checked_mail_address(address: str) -> str:
    if not is_mail_address(address):
        raise ValueError("the form of a mail address is name@host; commas stand between several")
    return address


def _checked_mail_addresses(addresses: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_checked_mail_address(address.strip()) for address in addresses)


def _split_at_commas(given: object) -> object:
    return tuple(given.split(",")) if isinstance(given, str) else given


Webhook = Annotated[SecretStr, AfterValidator(_checked_webhook)]
MailServer = Annotated[SecretStr, AfterValidator(_checked_mail_server)]
MailAddress = Annotated[str, AfterValidator(_checked_mail_address)]
MailAddresses = Annotated[
    tuple[str, ...],
    NoDecode,
    BeforeValidator(_split_at_commas),
    AfterValidator(_checked_mail_addresses),
]


class Settings(BaseSettings):
    """Settings by the environment, prefix CROSSDOCK_; durations are seconds."""

    model_config = SettingsConfigDict(
        env_prefix="CROSSDOCK_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    mysql_url: str = Field(repr=False)
    bucket: str = "crossdock"
    project: str = "crossdock-local"
    partners_file: Path = Path("partners.toml")
    push_audience: str | None = None
    push_service_account: str | None = None
    lease_seconds: float = Field(default=60, gt=0)
    heartbeat_seconds: float = Field(default=15, gt=0)
    sweep_seconds: float = Field(default=10, gt=0)
    order_wait_seconds: float = Field(default=900, ge=0)
    missing_file_grace_seconds: float = Field(default=20, ge=0)
    attempts_before_attention: int = Field(default=10, ge=1)
    retry_base_seconds: float = Field(default=2, gt=0)
    retry_longest_seconds: float = Field(default=300, gt=0)
    log_level: Literal["info", "debug"] = "info"
    teams_webhook_url: Webhook | None = None
    smtp_url: MailServer | None = None
    email_to: MailAddresses = ()
    email_from: MailAddress | None = None

    @field_validator("mysql_url")
    @classmethod
    def _is_a_mysql_url(cls, url: str) -> str:
        MySQLAddress.parse(url)
        return url

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        wrong = []
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            wrong.append(
                "CROSSDOCK_HEARTBEAT_SECONDS must be at most half of CROSSDOCK_LEASE_SECONDS"
            )
        if bool(self.push_audience) != bool(self.push_service_account):
            wrong.append(
                "CROSSDOCK_PUSH_AUDIENCE and CROSSDOCK_PUSH_SERVICE_ACCOUNT are given both, or "
                "neither"
            )
        if bool(self.email_to) != (self.smtp_url is not None):
            wrong.append("CROSSDOCK_SMTP_URL and CROSSDOCK_EMAIL_TO are given both, or neither")
        elif self.smtp_server is not None and self.sender is None:
            wrong.append(
                "CROSSDOCK_EMAIL_FROM is missing: the user of CROSSDOCK_SMTP_URL is no mail address"
            )
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @property
    def notice_channels(self) -> tuple[str, ...]:
        """The ways that an outcome is told: to the log and the partner always, to people if set."""
        set_up = {"teams": self.teams_webhook_url, "email": self.smtp_url}
        return ("log", "ack", *(name for name, url in set_up.items() if url is not None))

    @property
    def smtp_server(self) -> SmtpServer | None:
        """Who takes the mails, if any are sent."""
        return None if self.smtp_url is None else SmtpServer.parse(self.smtp_url.get_secret_value())

    @property
    def sender(self) -> str | None:
        """Whom mails come from: the setting, or else the mail server's user."""
        user = self.smtp_server.user if self.smtp_server else None
        return self.email_from or (user if user and is_mail_address(user) else None)


class _PushedSettings(Settings):
    """Those of a process that takes pushes: from strangers only with a token, or not at all."""

    @field_validator("push_audience", "push_service_account")
    @classmethod
    def _tells_pubsub_from_others(cls, given: str | None) -> str | None:
        if not given and not _is_emulated():
            raise ValueError(
                "is needed, for without it anyone's requests would be taken for Pub/Sub's; only "
                "beside an emulator, where PUBSUB_EMULATOR_HOST is set, no token is asked for"
            )
        return given


def load_settings(
    *, before_emulators: bool = False, takes_pushes: bool = False, **given: object
) -> Settings:
    """The settings of this process; `given` values win over the environment.

    Args:
        before_emulators: read them as a process does that has PUBSUB_EMULATOR_HOST, though the
            emulator does not run yet.
        takes_pushes: whether others can send this process requests, which have to carry a token.
        given: values by the names of the fields.

    Raises:
        SettingsError: one or more are missing or wrong; the message names them all.
    """
    before = _before_emulators.set(before_emulators)
    try:
        return (_PushedSettings if takes_pushes else Settings)(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError(_explain(error)) from error
    finally:
        _before_emulators.reset(before)


def _explain(error: ValidationError) -> str:
    lines = ["these settings are missing or wrong:"]
    for problem in error.errors(include_url=False, include_input=False):
        name = "_".join(str(part) for part in problem["loc"]).upper()
        lines.append(f"  {f'CROSSDOCK_{name}' if name else 'together'}: {problem['msg']}")
    return "\n".join(lines)
