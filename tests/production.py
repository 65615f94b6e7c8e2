"""What stands in production, to be compared row by row."""

from typing import Any

from shared.contracts.model import contracts
from shared.contracts.tables import Names
from shared.mysql.connect import Database

Content = dict[str, list[dict[str, Any]]]


async def content(database: Database) -> Content:
    """Every row of every production and crosswalk table, in order."""
    tables: Content = {}
    for entity in contracts()["v1"].entities:
        names = Names.of(entity)
        for table in (names.production, *([names.crosswalk] if entity.has_children else [])):
            rows = await database.fetch_all(f"SELECT * FROM `{table}` ORDER BY 1, 2")
            tables[table] = [dict(row) for row in rows]
    return tables


def is_empty(tables: Content) -> bool:
    """Whether production has nothing at all."""
    return not any(tables.values())
