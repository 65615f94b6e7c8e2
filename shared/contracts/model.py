"""The data contract as data: entities, columns and types, read from `v*.toml`.

Everything that knows an entity's or a column's name knows it from here: tables, header and row
checks, statements and the load order.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, Self

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TYPE = re.compile(r"(?P<kind>[a-z]+)(?:\((?P<size>\d+)(?:,(?P<scale>\d+))?\))?(?P<required>!?)")


class ContractError(ValueError):
    """The contract file itself is wrong; the process must not start with it."""


class Kind(StrEnum):
    """The types a column may have."""

    TEXT = "text"
    INT = "int"
    DECIMAL = "decimal"
    DATE = "date"
    TIMESTAMP = "timestamp"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `size` is characters for text and total digits for decimal, else 0."""

    name: str
    kind: Kind
    required: bool
    size: int = 0
    scale: int = 0


@dataclass(frozen=True, slots=True)
class Entity:
    """One CSV file and its tables; `parent` names the entity that `parent_key` points at."""

    name: str
    key: str
    id_column: str
    columns: tuple[Column, ...]
    parent: str | None
    parent_key: str | None
    has_children: bool

    @property
    def file_name(self) -> str:
        """The name of the entity's file in the drop."""
        return f"{self.name}.csv"

    @property
    def header(self) -> tuple[str, ...]:
        """The column names in the order of the file."""
        return tuple(column.name for column in self.columns)

    @property
    def value_columns(self) -> tuple[Column, ...]:
        """The columns that production keeps under their own names: all but the source keys."""
        keys = {self.key, self.parent_key}
        return tuple(column for column in self.columns if column.name not in keys)

    def column(self, name: str) -> Column:
        """The column of that name.

        Raises:
            KeyError: the entity has no such column.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Contract:
    """One schema_version: its entities in load order, parents before children."""

    schema_version: str
    entities: tuple[Entity, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a contract from TOML.

        Raises:
            ContractError: a name is no identifier, a type is unknown or a parent comes too late.
        """
        document = tomllib.loads(text)
        tables: dict[str, dict[str, Any]] = document["entity"]
        parents = {table.get("parent") for table in tables.values()}
        entities: list[Entity] = []
        for name, table in tables.items():
            parent = table.get("parent")
            if parent is not None and parent not in {entity.name for entity in entities}:
                raise ContractError(f"{name}: its parent {parent} must stand before it")
            entities.append(_entity(name, table, tables, has_children=name in parents))
        return cls(document["schema_version"], tuple(entities))

    def entity(self, name: str) -> Entity:
        """The entity of that name.

        Raises:
            KeyError: the contract has no such entity.
        """
        for entity in self.entities:
            if entity.name == name:
                return entity
        raise KeyError(name)

    def parent_of(self, entity: Entity) -> Entity | None:
        """The entity that this one points at."""
        return None if entity.parent is None else self.entity(entity.parent)


def _entity(
    name: str, table: Mapping[str, Any], tables: Mapping[str, Any], *, has_children: bool
) -> Entity:
    parent = table.get("parent")
    columns = tuple(_column(column, text) for column, text in table["columns"].items())
    entity = Entity(
        name=name,
        key=table["key"],
        id_column=table["id"],
        columns=columns,
        parent=parent,
        parent_key=None if parent is None else tables[parent]["key"],
        has_children=has_children,
    )
    for identifier in (name, entity.id_column, *entity.header):
        if not _IDENTIFIER.fullmatch(identifier):
            raise ContractError(f"{name}: {identifier!r} is no identifier")
    for key in filter(None, (entity.key, entity.parent_key)):
        if key not in entity.header or not entity.column(key).required:
            raise ContractError(f"{name}: its key {key} must be one of its required columns")
    return entity


def _column(name: str, text: str) -> Column:
    match = _TYPE.fullmatch(text)
    if match is None or match["kind"] not in set(Kind):
        raise ContractError(f"{name}: {text!r} is no type")
    kind = Kind(match["kind"])
    size, scale = int(match["size"] or 0), int(match["scale"] or 0)
    if (kind in {Kind.TEXT, Kind.DECIMAL}) != (size > 0):
        raise ContractError(f"{name}: {text!r} needs a size, and only text and decimal have one")
    if scale > size:
        raise ContractError(f"{name}: {text!r} has more decimals than digits")
    return Column(name, kind, required=bool(match["required"]), size=size, scale=scale)


@cache
def contracts() -> dict[str, Contract]:
    """Every contract that the project ships, by schema_version, oldest first."""
    folder = files("shared.contracts")
    names = [item.name for item in folder.iterdir() if item.name.endswith(".toml")]
    names.sort(key=lambda name: (len(name), name))  # v2 before v10
    parsed = [Contract.parse(folder.joinpath(name).read_text(encoding="utf-8")) for name in names]
    return {contract.schema_version: contract for contract in parsed}


def contract_of(schema_version: str | None) -> Contract:
    """The contract of a load whose manifest passed.

    Raises:
        KeyError: the project ships no such contract.
    """
    return contracts()[schema_version or ""]
