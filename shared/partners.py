"""Who may deliver, and for which source_system: the configuration in `partners.toml`."""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.errors import Failure, Rejected, shown
from shared.manifest import is_source_system

FEWEST_REJECTS_OVER_LIMIT: Final = 10

_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def _is_folder_name(name: str) -> bool:
    return _FOLDER.fullmatch(name) is not None


def _checked(accepts: Callable[[str], bool]) -> AfterValidator:
    def check(text: str) -> str:
        if not accepts(text):
            raise ValueError(f"{shown(text)} has characters or a length that are not allowed")
        return text

    return AfterValidator(check)


class PartnersError(ValueError):
    """partners.toml is missing or wrong; the process must not start with it."""


@dataclass(frozen=True, slots=True)
class RejectLimit:
    """How much of a file may be rejected: `percent` of its rows, and always a handful."""

    percent: Decimal = Decimal(1)

    def is_passed(self, *, rows: int, rejected: int) -> bool:
        """Whether a file of so many data rows has too many rejected ones."""
        return rejected >= FEWEST_REJECTS_OVER_LIMIT and rejected * 100 > self.percent * rows

    def check(self, file_name: str, *, rows: int, rejected: int) -> None:
        """Hold a file's rejects against the limit.

        Args:
            file_name: named in the failure.
            rows: the file's data rows.
            rejected: those of them that were rejected, for whatever reason.

        Raises:
            Rejected: `rejects.over_limit`.
        """
        if self.is_passed(rows=rows, rejected=rejected):
            message = (
                f"{file_name}: {rejected} of {rows} rows were rejected; a load fails from "
                f"{FEWEST_REJECTS_OVER_LIMIT} on if they are more than {self.percent} % of the rows"
            )
            raise Rejected(Failure.of("rejects.over_limit", message, file=file_name))


class Partner(BaseModel):
    """One `[partners.NAME]` table: the folder is the identity, all else hangs on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Annotated[str, _checked(_is_folder_name)]
    source_system: Annotated[str, _checked(is_source_system)]
    contacts: tuple[str, ...] = ()
    reject_limit_percent: Annotated[Decimal, Field(ge=0, le=100)] = RejectLimit().percent


class Partners(BaseModel):
    """All partners; without any, each folder speaks for its own name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unknown_folders: Literal["own-name", "refuse"] = "own-name"
    partners: Mapping[str, Partner] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _no_two_share(self) -> Self:
        for name in ("folder", "source_system"):
            values = [getattr(partner, name) for partner in self.partners.values()]
            for value in values:
                if values.count(value) > 1:
                    raise ValueError(f"two partners have the {name} {value!r}")
        return self

    def is_folder(self, name: str) -> bool:
        """Whether the name can be that of a partner's folder at all, known or not."""
        return _is_folder_name(name)

    def source_system_of(self, folder: str) -> str:
        """The one source_system that the folder may speak for.

        An unknown folder never speaks for a name that was given to another one.

        Raises:
            Rejected: `partner.unknown`.
        """
        partner = self._partner(folder)
        if partner is not None:
            return partner.source_system
        taken = {partner.source_system for partner in self.partners.values()}
        if self.unknown_folders == "refuse" or folder in taken or not is_source_system(folder):
            message = f"the folder {shown(folder)} is not a known partner's"
            raise Rejected(Failure.of("partner.unknown", message))
        return folder

    def reject_limit(self, folder: str) -> RejectLimit:
        """The limit agreed with the folder's partner, or the contract's."""
        partner = self._partner(folder)
        return RejectLimit() if partner is None else RejectLimit(partner.reject_limit_percent)

    def _partner(self, folder: str) -> Partner | None:
        for partner in self.partners.values():
            if partner.folder == folder:
                return partner
        return None


def load_partners(path: Path) -> Partners:
    """Read partners.toml.

    Raises:
        PartnersError: it cannot be read, or something in it is wrong; the message names each place.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
        return Partners.model_validate(document)
    except OSError as error:
        raise PartnersError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        problems = [
            f"  {'.'.join(map(str, problem['loc'])) or 'partners'}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)
        ]
        raise PartnersError("\n".join((f"{path} is wrong:", *problems))) from error
    except ValueError as error:
        raise PartnersError(f"{path} is no TOML in UTF-8: {error}") from error
