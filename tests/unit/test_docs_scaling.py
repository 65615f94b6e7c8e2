"""docs/scaling.md against the statements of the code and its own arithmetic."""

import re
from pathlib import Path

import pytest

from shared.contracts.model import contracts
from shared.contracts.tables import table_statements
from tests.pages import ROOT, column, page, section, tables

PAGE = page("docs/scaling.md")
USES, RELIES_ON = tables(section(PAGE, "### What the SQL uses, and what would have to hold"))
# How each thing of the page's first table looks in a statement.
LOOKS_LIKE = {
    "LOAD DATA LOCAL INFILE": r"INFILE %\(\w+\)s INTO TABLE",
    "FOREIGN KEY": r"FOREIGN KEY \(",
    "FOR UPDATE NOWAIT": r"FOR UPDATE NOWAIT",
    "SKIP LOCKED": r"SKIP LOCKED",
    "FOR SHARE": r"FOR SHARE",
    "row alias in `ON DUPLICATE KEY UPDATE`": r"\) AS \w+\s+ON DUPLICATE KEY UPDATE",
    "READ UNCOMMITTED": r"READ UNCOMMITTED",
    "window functions": r"\bOVER\b",
    "LATERAL": r"\bLATERAL\b",
    "STRAIGHT_JOIN": r"STRAIGHT_JOIN",
    "update of a join": r"UPDATE (\(|`[^`]+` \w+\s+STRAIGHT_JOIN)",
    "a view": r"CREATE SQL SECURITY INVOKER VIEW",
    "utf8mb4_0900_bin": r"utf8mb4_0900_bin",
    "`performance_schema` connection attributes": r"performance_schema\.session_\w*connect_attrs",
    "KILL CONNECTION": r"\bKILL CONNECTION\b",
    "a stored procedure": r"CREATE PROCEDURE|\bCALL\b",
    "GET_LOCK": r"\bGET_LOCK\b",
}


def statements(path: Path) -> str:
    """What a file sends to MySQL, without the sentences above it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("--"))


def rooms_with(pattern: str) -> list[str]:
    """The rooms whose files match; tables that follow from the contract are the contract's."""
    files = [
        path
        for room in ("services", "shared")
        for path in (ROOT / room).rglob("*")
        if path.suffix == ".sql" or (path.suffix == ".py" and "mysql" in path.read_text("utf-8"))
    ]
    found = {
        path.parent.relative_to(ROOT).as_posix().removesuffix("/migrations")
        for path in files
        if re.search(pattern, statements(path))
    }
    if any(
        re.search(pattern, statement)
        for contract in contracts().values()
        for statement in table_statements(contract).values()
    ):
        found.add("shared/contracts")
    return sorted(found)


def test_what_the_page_says_of_the_sql_is_looked_for() -> None:
    assert column(USES, "the SQL uses") == list(LOOKS_LIKE)


@pytest.mark.parametrize("use", LOOKS_LIKE)
def test_a_use_stands_beside_the_rooms_that_have_it(use: str) -> None:
    (told,) = [row for row in USES if row["the SQL uses"].strip("`") == use.strip("`")]
    assert told["in"].split(", ") == rooms_with(LOOKS_LIKE[use])


def test_what_the_page_says_is_not_used_is_not_used() -> None:
    (row,) = [row for row in RELIES_ON if row["Vitess"] == "not used"]
    looks_like = {
        "GTIDs": r"gtid",
        "triggers": r"CREATE TRIGGER",
        "savepoints": r"\bSAVEPOINT\b",
        "temporary tables": r"CREATE TEMPORARY",
    }
    assert row["what we rely on"].split(", ") == list(looks_like)
    used = {use for use, pattern in looks_like.items() if rooms_with(pattern)}
    assert not used


def test_the_sums_of_connections_are_right_and_fit() -> None:
    (rows,) = tables(section(PAGE, "### Connections"))
    for row in rows:
        said, _, total = row["connections at most"].partition(" = ")
        factors = [int(word) for word in re.findall(r"\d+", said)]
        services, instances, loads, connections, others = factors
        assert [str(instances), str(loads)] == list(row.values())[:2]
        most = services * instances * loads * connections + others
        assert int(total.replace(",", "")) == most
        assert most <= int(row["`max_connections`"].replace(",", ""))


def test_rates_follow_from_rows_and_partners() -> None:
    (rows,) = tables(section(PAGE, "## Where MySQL becomes the limit"))
    for row in rows:
        in_all, each = (
            int(row[name].replace(",", "")) for name in ("rows/s in all", "rows/s of each")
        )
        assert each == pytest.approx(in_all / int(row["partners at once"]), abs=1)
