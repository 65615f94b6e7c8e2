"""The rows of a drop, as far as one tells on another: on the disk, so that memory does not grow.

They stand in an SQLite database that nobody else sees. It lives in a small cache, spills into a
file without a name, and is gone with the process, however that ends.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from shared.contracts.model import Entity
from shared.errors import TransientFault
from shared.mysql.queries import load_queries
from shared.mysql.quoting import quoted

if TYPE_CHECKING:
    import sqlite3

CACHE_KIB: Final = 8 * 1024
MOST_KEY_CHARACTERS_KEPT: Final = 200

# A row's key, its parent's key, and the code and column of what is wrong with it by itself.
JudgedRow = tuple[str, str | None, str | None, str | None]

_SQL: Final = load_queries("crossdock", "offline_rows.sql")
_PRIMARY_CODE: Final = 0xFF  # the low byte of what SQLite tells; the others tell it more closely


class RefusedRow(NamedTuple):
    """A row with a code; of its key at most MOST_KEY_CHARACTERS_KEPT, row_no counts from 1."""

    row_no: int
    source_key: str
    code: str
    column: str


@contextmanager
def open_rows() -> Iterator["sqlite3.Connection"]:
    """A database for the rows of one drop, which holds CACHE_KIB of them in memory.

    Raises:
        TransientFault: its file could not be written or read.
    """
    # Commands that only look where a drop belongs import this module, and never open it.
    import sqlite3  # noqa: PLC0415

    disk_faults = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
    with closing(sqlite3.connect("")) as database:
        database.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        database.execute("PRAGMA journal_mode = OFF")
        try:
            yield database
        except sqlite3.OperationalError as fault:
            if fault.sqlite_errorcode & _PRIMARY_CODE not in disk_faults:
                raise
            raise TransientFault(
                f"the check's temporary file could not be used: {fault}. It needs some 100 bytes "
                "for each row; make room for it, or name another folder in TMPDIR"
            ) from fault


class FileRows:
    """The rows of one file; those of its parent's file must be judged before."""

    def __init__(self, database: "sqlite3.Connection", entity: Entity) -> None:
        self._database = database
        self._entity = entity
        names = {
            "rows": quoted(entity.name),
            "by_key": quoted(f"{entity.name}_by_key"),
            "parent": quoted(entity.parent) if entity.parent else "",
        }
        self._sql = {name: template.format_map(names) for name, template in _SQL.items()}
        self._run("create_rows")

    def add(self, rows: Iterable[JudgedRow]) -> None:
        """Take the next rows of the file."""
        self._database.executemany(self._sql["add_row"], rows)

    def judge(self) -> None:
        """Give each row its code; to be called once, after the last row.

        First copies get theirs, then children of rejected rows, then what is unresolved: children
        of unresolved rows, and rows whose parent is not in the drop.
        """
        self._run("index_keys")
        self._run("reject_copies", column=self._entity.key)
        if self._entity.parent is not None:
            for unresolved in (False, True):
                self._run("lose_parents", column=self._entity.parent_key, unresolved=unresolved)
            self._run("find_orphans", column=self._entity.parent_key)

    def counts(self) -> tuple[int, int, int]:
        """How many rows there are, are rejected, and are unresolved."""
        ((rows, rejected, unresolved),) = self._run("count_rows")
        return rows, rejected, unresolved

    def first_rejected(self, most: int) -> list[RefusedRow]:
        """The first rejected rows, at most so many, in the order of the file."""
        return self._first_refused(most, unresolved=False)

    def first_unresolved(self, most: int) -> list[RefusedRow]:
        """The first unresolved rows, at most so many, in the order of the file."""
        return self._first_refused(most, unresolved=True)

    def first_copies(self, row_no: int, most: int) -> list[int]:
        """The first rows with the key of this row, at most so many, in order."""
        return [copy for (copy,) in self._run("first_copies", row_no=row_no, most=most)]

    def count_copies(self, row_no: int) -> int:
        """How many rows have the key of this row, this one counted."""
        ((copies,),) = self._run("count_copies", row_no=row_no)
        return int(copies)

    def _first_refused(self, most: int, *, unresolved: bool) -> list[RefusedRow]:
        kept = {"most": most, "most_characters": MOST_KEY_CHARACTERS_KEPT}
        found = self._run("first_refused", unresolved=unresolved, **kept)
        return [RefusedRow(*row) for row in found]

    def _run(self, statement: str, **values: Any) -> "sqlite3.Cursor":
        return self._database.execute(self._sql[statement], values)
