"""Whether a database holds what the files say: every value of every row, once.

Values are compared by their type in the contract. A number is equal to one of the same value,
however it is stored or written (1.5, 1.500); a date is equal to its midnight; a text is equal to
the same characters. No value is NULL or an empty text: a file cannot tell these two apart.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

import pymysql
from pymysql.cursors import SSCursor

from shared.contracts.model import Contract, Entity, Kind
from shared.contracts.tables import Names
from shared.mysql.quoting import quoted

MIDNIGHT: Final = " 00:00:00"

Connection = pymysql.Connection
Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """How the rows of all tables compare with those of the files.

    Attributes:
        rows: in the files.
        missing: rows of the files that are not in the database.
        surplus: rows of the database that are in no file, or there already.
        different: rows that are there with another value.
        examples: the first key that is missing, and the first value that is another one.
    """

    rows: int = 0
    missing: int = 0
    surplus: int = 0
    different: int = 0
    examples: tuple[str, ...] = ()

    @property
    def wrong(self) -> int:
        """How many rows are missing, too many, or have another value."""
        return self.missing + self.surplus + self.different

    @property
    def are_intact(self) -> bool:
        """Whether none is."""
        return not self.wrong

    def __add__(self, other: "Contents") -> "Contents":
        return Contents(
            self.rows + other.rows,
            self.missing + other.missing,
            self.surplus + other.surplus,
            self.different + other.different,
            self.examples + other.examples,
        )

    def told(self) -> str:
        """In words."""
        if self.are_intact:
            return "yes"
        counts = {
            "missing": self.missing,
            "too many": self.surplus,
            "with another value": self.different,
        }
        told = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
        return f"no: {told}" + (f" ({'; '.join(self.examples)})" if self.examples else "")


def canonical(kind: Kind, value: object) -> object:
    """A value in the form in which two of the same meaning are equal."""
    if value is None or value == "":
        return None
    text = str(value)
    match kind:
        case Kind.INT | Kind.DECIMAL:
            try:
                return Decimal(text)
            except InvalidOperation:
                return text
        case Kind.DATE:
            return text.removesuffix(MIDNIGHT)
        case _:
            return text


def compared(entity: Entity, expected: Path, found: Iterator[Row]) -> Contents:
    """Hold rows, with the columns of the file in their order, to the file."""
    place = entity.header.index(entity.key)
    kinds = [column.kind for column in entity.columns]
    wanted = {str(row[place]): row for row in _canonical_rows(kinds, _file(expected))}
    rows, surplus, different = len(wanted), 0, 0
    examples: list[str] = []
    for row in _canonical_rows(kinds, found):
        want = wanted.pop(str(row[place]), None)
        if want is None:
            surplus += 1
        elif want != row:
            different += 1
            examples = examples or [_difference(entity, want, row)]
    examples += [f"{entity.name}: {key!r} is missing" for key in islice(wanted, 1)]
    return Contents(rows, len(wanted), surplus, different, tuple(examples))


class Tables(Protocol):
    """Where a tool has put the four files."""

    def query(self, entity: Entity) -> str:
        """A query for the columns of the file, in their order."""
        ...

    def relates(self, connection: Connection, entity: Entity) -> bool:
        """Whether the rows of a child carry an internal key of their parents."""
        ...


@dataclass(frozen=True, slots=True)
class Mirrored:
    """A table for each file with the file's columns, and what the tool adds."""

    contract: Contract

    def query(self, entity: Entity) -> str:
        """The table's own columns."""
        return f"SELECT {', '.join(map(quoted, entity.header))} FROM {quoted(entity.name)}"

    def relates(self, connection: Connection, entity: Entity) -> bool:
        """Whether any column that was added to the child is a unique one added to the parent."""
        parent = self.contract.parent_of(entity)
        assert parent is not None
        return any(
            _holds(
                connection,
                f"SELECT COUNT(DISTINCT {quoted(key)}) = COUNT(*) FROM {quoted(parent.name)}",
            )
            and _holds(
                connection,
                f"SELECT COUNT(*) = (SELECT COUNT(*) FROM {quoted(entity.name)}) "
                f"FROM {quoted(entity.name)} c JOIN {quoted(parent.name)} p "
                f"USING ({quoted(parent.key)}) "
                f"WHERE c.{quoted(reference)} = p.{quoted(key)}",
            )
            for key in _added(connection, parent)
            for reference in _added(connection, entity)
        )


@dataclass(frozen=True, slots=True)
class Production:
    """Crossdock's own tables: source keys are in the crosswalk, children hold internal ids."""

    contract: Contract

    def query(self, entity: Entity) -> str:
        """The file's columns; a parent's key is found by the internal id that the child holds."""
        parent = self.contract.parent_of(entity)
        keys = {entity.key: "x.`source_key`" if entity.has_children else f"t.{quoted(entity.key)}"}
        joins = ""
        if entity.has_children:
            crosswalk = Names.of(entity).crosswalk
            joins += (
                f" JOIN {quoted(crosswalk)} x ON x.`internal_id` = t.{quoted(entity.id_column)}"
            )
        if parent is not None:
            keys[parent.key] = "p.`source_key`"
            crosswalk = Names.of(parent).crosswalk
            joins += (
                f" JOIN {quoted(crosswalk)} p ON p.`internal_id` = t.{quoted(parent.id_column)}"
            )
        columns = ", ".join(keys.get(name, f"t.{quoted(name)}") for name in entity.header)
        return f"SELECT {columns} FROM {quoted(Names.of(entity).production)} t{joins}"

    def relates(self, connection: Connection, entity: Entity) -> bool:
        """Whether every child's id leads to a row of the parent's table."""
        parent = self.contract.parent_of(entity)
        assert parent is not None
        child, of_parent = Names.of(entity).production, Names.of(parent).production
        return _holds(
            connection,
            f"SELECT COUNT(*) = (SELECT COUNT(*) FROM {quoted(child)}) "
            f"FROM {quoted(child)} c JOIN {quoted(of_parent)} p USING ({quoted(parent.id_column)})",
        )


def looked_at(
    connection: Connection, contract: Contract, tables: Tables, drop: Path
) -> tuple[Contents, bool]:
    """Hold a database to a drop; and whether every relation is resolved."""
    contents = Contents()
    for entity in contract.entities:
        with connection.cursor(SSCursor) as cursor:
            cursor.execute(tables.query(entity))
            contents += compared(entity, drop / entity.file_name, iter(cursor))
    children = [entity for entity in contract.entities if entity.parent is not None]
    return contents, all(tables.relates(connection, child) for child in children)


def _canonical_rows(kinds: Sequence[Kind], rows: Iterator[Row]) -> Iterator[Row]:
    for row in rows:
        yield tuple(map(canonical, kinds, row))


def _file(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        records = csv.reader(file, strict=True)
        next(records)
        yield from map(tuple, records)


def _difference(entity: Entity, want: Row, found: Row) -> str:
    names = zip(entity.header, want, found, strict=True)
    name, wanted, value = next(one for one in names if one[1] != one[2])
    return f"{entity.name}.{name}: {_shown(value)} for {_shown(wanted)}"


def _shown(value: object) -> str:
    """A value on one line; NULL is no text."""
    return repr(value) if isinstance(value, str) else "NULL" if value is None else str(value)


def _added(connection: Connection, entity: Entity) -> list[str]:
    """The columns of a table that are not in the file."""
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW COLUMNS FROM {quoted(entity.name)}")
        names = [str(row[0]) for row in cursor.fetchall()]
    return [name for name in names if name not in entity.header]


def _holds(connection: Connection, query: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(query)
        row = cursor.fetchone()
    return bool(row and row[0])
