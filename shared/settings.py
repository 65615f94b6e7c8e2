"""Every setting of the project, out of the environment, checked once when a process starts."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.mysql.connect import MySQLAddress


class SettingsError(ValueError):
    """One message that names every setting that is missing or wrong, and how to mend it."""


class Settings(BaseSettings):
    """Settings by the environment, prefix CROSSDOCK_; durations are seconds."""

    model_config = SettingsConfigDict(env_prefix="CROSSDOCK_", extra="ignore", frozen=True)

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

    @field_validator("mysql_url")
    @classmethod
    def _is_a_mysql_url(cls, url: str) -> str:
        MySQLAddress.parse(url)
        return url

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            raise ValueError(
                "CROSSDOCK_HEARTBEAT_SECONDS must be at most half of CROSSDOCK_LEASE_SECONDS"
            )
        return self


def load_settings(**given: object) -> Settings:
    """The settings of this process; `given` values win over the environment.

    Raises:
        SettingsError: one or more are missing or wrong; the message names them all.
    """
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError(_explain(error)) from error


def _explain(error: ValidationError) -> str:
    lines = ["these settings are missing or wrong:"]
    for problem in error.errors(include_url=False, include_input=False):
        name = "_".join(str(part) for part in problem["loc"]).upper()
        lines.append(f"  {f'CROSSDOCK_{name}' if name else 'together'}: {problem['msg']}")
    return "\n".join(lines)
