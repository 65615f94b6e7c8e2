"""What is kept of the server's errors: many of its texts quote a row's values, and a trigger's may.

Logs and the ledger repeat what an error says. So a text is kept only where its number is known to
stand for one without values; of any other the number stays, its name, and the place that it names.
"""

import re
from typing import Final

from pymysql.constants import ER

LEFT_OUT: Final = "MySQL's own text may quote a row, and is left out"
# The client's own errors, and those of the server's file system, which come before all others.
_CLIENT_ERRORS: Final = range(2000, 3000)
_FILE_ERRORS: Final = range(1000)
_NAMES: Final = {
    **{number: name for name, number in vars(ER).items() if isinstance(number, int)},
    1644: "SIGNAL_EXCEPTION",
    1690: "DATA_OUT_OF_RANGE",
    3819: "CHECK_CONSTRAINT_VIOLATED",
}
_WITHOUT_VALUES: Final = frozenset(
    {
        # What is not there, or not allowed.
        *(ER.NO_DB_ERROR, ER.BAD_DB_ERROR, ER.NO_SUCH_TABLE, ER.BAD_FIELD_ERROR),
        *(ER.DBACCESS_DENIED_ERROR, ER.ACCESS_DENIED_ERROR, ER.TABLEACCESS_DENIED_ERROR),
        *(ER.COLUMNACCESS_DENIED_ERROR, ER.SPECIFIC_ACCESS_DENIED_ERROR),
        *(ER.PROCACCESS_DENIED_ERROR, ER.SP_DOES_NOT_EXIST, ER.NO_SUCH_USER),
        *(ER.UNKNOWN_SYSTEM_VARIABLE, ER.NOT_ALLOWED_COMMAND, ER.VIEW_INVALID),
        3948,  # LOAD DATA LOCAL is disabled
        # Read only.
        *(ER.OPTION_PREVENTS_STATEMENT, ER.CANT_UPDATE_WITH_READLOCK),
        *(1792, 1836),  # a read-only transaction, a server in read-only mode
        # Locks, and the ends of statements, connections and servers.
        *(ER.LOCK_WAIT_TIMEOUT, ER.LOCK_DEADLOCK, ER.LOCK_TABLE_FULL, ER.TABLE_DEF_CHANGED),
        *(ER.QUERY_INTERRUPTED, ER.QUERY_TIMEOUT, ER.SERVER_SHUTDOWN, ER.NO_SUCH_THREAD),
        *(ER.KILL_DENIED_ERROR,),
        *(3100, 3101, 3572, 4031),  # replication's veto, its rollback, NOWAIT, too long a silence
        *(ER.NET_READ_ERROR, ER.NET_READ_INTERRUPTED),
        *(ER.NET_ERROR_ON_WRITE, ER.NET_WRITE_INTERRUPTED, ER.NET_PACKET_TOO_LARGE),
        # Limits, memory and disk.
        *(ER.CON_COUNT_ERROR, ER.TOO_MANY_USER_CONNECTIONS, ER.USER_LIMIT_REACHED),
        *(ER.TOO_BIG_SELECT, ER.TRANS_CACHE_FULL, ER.RECORD_FILE_FULL, ER.DISK_FULL),
        *(ER.ERROR_ON_WRITE, ER.GET_ERRNO, ER.ERROR_DURING_COMMIT, ER.CANT_CREATE_THREAD),
        *(ER.OUTOFMEMORY, ER.OUT_OF_SORTMEMORY, ER.OUT_OF_RESOURCES),
    }
)
_AT_THE_END: Final = re.compile(r"for (?:key|column) '[^']*'(?: at row \d+)?\Z")
_AT_THE_START: Final = re.compile(r"\A(?:Column|Field|Check constraint) '[^']*'")
_CONSTRAINT: Final = re.compile(r"CONSTRAINT `[^`]*`(?= FOREIGN KEY)")
_PLACES: Final = {
    ER.DUP_ENTRY: _AT_THE_END,
    ER.DATA_TOO_LONG: _AT_THE_END,
    ER.WARN_DATA_OUT_OF_RANGE: _AT_THE_END,
    ER.WARN_DATA_TRUNCATED: _AT_THE_END,
    ER.TRUNCATED_WRONG_VALUE_FOR_FIELD: _AT_THE_END,
    ER.BAD_NULL_ERROR: _AT_THE_START,
    ER.NO_DEFAULT_FOR_FIELD: _AT_THE_START,
    3819: _AT_THE_START,
    ER.ROW_IS_REFERENCED_2: _CONSTRAINT,
    ER.NO_REFERENCED_ROW_2: _CONSTRAINT,
}


def without_values(number: int, text: str) -> str:
    """What may be told of the server's error with this number and text."""
    if number in _WITHOUT_VALUES or number in _CLIENT_ERRORS or number in _FILE_ERRORS:
        return text
    pattern = _PLACES.get(number)
    place = pattern and pattern.search(text)
    return "; ".join(filter(None, (_NAMES.get(number), place and place[0], LEFT_OUT)))
