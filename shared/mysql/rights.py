"""What each account of the database may do, table by table, as rights.toml has it.

The accounts' SQL (`infra.mysql`) is rendered from it, and a service that starts holds what it was
given against it.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from shared.contracts.model import contracts
from shared.contracts.tables import Names, table_statements

_RIGHT: Final = re.compile(r"(?P<verb>[A-Z]+)(?: \((?P<columns>[^)]+)\))?")
_ROUTINE: Final = "()"


@dataclass(frozen=True, slots=True)
class Right:
    """One thing that may be done with a table, or with a routine.

    Attributes:
        on: the table's name, or the routine's.
        verb: SELECT, INSERT, UPDATE or DELETE; EXECUTE of a routine.
        columns: those that it is for; none stand for the whole table.
    """

    on: str
    verb: str
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        columns = f" ({', '.join(self.columns)})" if self.columns else ""
        return f"{self.verb}{columns} on {self.on}"


def accounts() -> list[str]:
    """The accounts by the names of their programs; each but the one that makes the tables."""
    return list(_document()["accounts"])


def rights_of(account: str) -> list[Right]:
    """All that an account may do; a right that two of its roles have is there once, the wider one.

    Raises:
        KeyError: there is no such account.
    """
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for role in _document()["accounts"][account]:
        for right in _rights_of_role(role):
            key = (right.on, right.verb)
            before = found.get(key, right.columns)
            is_whole = not before or not right.columns
            found[key] = () if is_whole else tuple(dict.fromkeys((*before, *right.columns)))
    return [Right(on, verb, columns) for (on, verb), columns in found.items()]


@cache
def _document() -> Mapping[str, Any]:
    text = files("shared.mysql").joinpath("rights.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _rights_of_role(role: str) -> Iterator[Right]:
    for place, texts in _document()[role].items():
        for on, names in _places(place):
            for text in texts:
                match = _RIGHT.fullmatch(text.format(**names))
                assert match is not None, f"rights.toml, {role}: {text} is no right"
                columns = match["columns"].split(", ") if match["columns"] else ()
                yield Right(on, match["verb"], tuple(columns))


def _places(place: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The tables that a name of rights.toml stands for, each with the names of its entity."""
    if not place.startswith("{"):
        yield place.removesuffix(_ROUTINE), {}
        return
    for contract in contracts().values():
        existing = table_statements(contract)
        for entity in contract.entities:
            names = {**asdict(Names.of(entity)), "id": entity.id_column}
            if place.format(**names) in existing:
                yield place.format(**names), names
