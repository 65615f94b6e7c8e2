"""docs/tables.md against a migrated database."""

import re

from shared.contracts.model import contracts
from shared.mysql.connect import Database
from tests.pages import column, page, section, table

PAGE = page("docs/tables.md")
V1 = contracts()["v1"]


def columns_on_the_page() -> dict[str, list[str]]:
    """Each table's columns in order, with the contract's own where the page stands for them."""
    found: dict[str, list[str]] = {}
    for heading in re.findall(r"^### .+$", PAGE, re.MULTILINE):
        names = column(table(section(PAGE, heading)), "column")
        for name in heading.removeprefix("### ").split(", "):
            found[name] = [actual for one in names for actual in columns_for(one, name)]
    return found


def columns_for(name_on_the_page: str, table_name: str) -> list[str]:
    if not name_on_the_page.startswith(("the file's ", "hashed_parent_id")):
        return [name_on_the_page]
    entity = V1.entity(table_name.removeprefix("staging_"))
    if name_on_the_page == "hashed_parent_id":
        return [] if entity.parent is None else [name_on_the_page]
    if name_on_the_page == "the file's columns":
        return list(entity.header)
    return [one.name for one in entity.value_columns]


async def test_every_table_stands_on_the_page_with_its_columns_in_order(database: Database) -> None:
    rows = await database.fetch_all(
        "SELECT TABLE_NAME AS name, COLUMN_NAME AS column_name FROM information_schema.COLUMNS "
        "WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME, ORDINAL_POSITION"
    )
    actual: dict[str, list[str]] = {}
    for row in rows:
        actual.setdefault(row["name"], []).append(row["column_name"])
    assert columns_on_the_page() == actual
