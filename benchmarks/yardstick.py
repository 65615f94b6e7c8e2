"""The yardstick: LOAD DATA of the four files and nothing else, on one connection."""

import time
from pathlib import Path
from typing import Final

import pymysql

from shared.contracts.model import Entity, contracts
from shared.mysql.connect import MySQLAddress
from shared.mysql.quoting import quoted

_LOAD: Final = """LOAD DATA LOCAL INFILE '{path}' INTO TABLE {table} CHARACTER SET utf8mb4
FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '"' ESCAPED BY '' LINES TERMINATED BY '{end}'
IGNORE 1 LINES ({columns})"""


def load_raw(url: str, folder: Path) -> float:
    """Seconds for the four files into tables of text columns, each committed by itself.

    Args:
        url: of a database, in which tables `raw_*` are made and dropped.
        folder: the drop.
    """
    entities = contracts()["v1"].entities
    address = MySQLAddress.parse(url)
    with pymysql.connect(**address.arguments(), local_infile=True, autocommit=True) as connection:
        cursor = connection.cursor()
        for entity in entities:
            cursor.execute(f"CREATE TABLE {quoted(_table(entity))} ({_columns(entity)})")
        began = time.perf_counter()
        for entity in entities:
            cursor.execute(_statement(entity, folder / entity.file_name))
        seconds = time.perf_counter() - began
        for entity in entities:
            cursor.execute(f"DROP TABLE {quoted(_table(entity))}")
    return seconds


def _table(entity: Entity) -> str:
    return f"raw_{entity.name}"


def _statement(entity: Entity, path: Path) -> str:
    with path.open("rb") as file:
        end = "\\r\\n" if file.readline().endswith(b"\r\n") else "\\n"
    columns = ", ".join(map(quoted, entity.header))
    return _LOAD.format(path=path, table=quoted(_table(entity)), end=end, columns=columns)


def _columns(entity: Entity) -> str:
    columns = ", ".join(f"{quoted(name)} MEDIUMTEXT" for name in entity.header)
    return f"row_no BIGINT AUTO_INCREMENT PRIMARY KEY, {columns}"
