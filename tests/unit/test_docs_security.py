"""What SECURITY.md says is kept narrow, against the code."""

import ast
import re

from tests.pages import ROOT, page, quoted, section, table

ROOMS = ("crossdock", "services", "shared")
DDL = re.compile(
    r"\b(CREATE|ALTER|DROP|TRUNCATE|RENAME)\s+(TEMPORARY\s+)?(TABLE|VIEW|INDEX|USER)\b"
)


def test_only_the_stagers_connection_may_send_a_stream() -> None:
    asking = {
        path.relative_to(ROOT).as_posix()
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.keyword)
        and node.arg == "local_infile"
        and isinstance(node.value, ast.Constant)
        and node.value.value is True
    }
    assert asking == {"services/stager/stage.py"}


def test_no_service_runs_ddl() -> None:
    for path in (ROOT / "services").rglob("*"):
        if path.suffix in {".py", ".sql"}:
            assert not DDL.search(path.read_text(encoding="utf-8")), path
    migration = (ROOT / "shared/mysql/migrations/0001_ledger.sql").read_text(encoding="utf-8")
    assert DDL.search(migration)


def test_each_attempt_names_tests_that_exist() -> None:
    rows = table(section(page("SECURITY.md"), "## What an attacker may try"))
    assert len(rows) > 10
    for row in rows:
        names = quoted(row["shown by"])
        assert names
        for name in names:
            assert "def test_" in (ROOT / name).read_text(encoding="utf-8")
