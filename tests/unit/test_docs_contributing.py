"""CONTRIBUTING.md and CHANGELOG.md against the Makefile, the test folders and pyproject.toml."""

import re
import tomllib

from shared.mysql.migrate import migrations
from tests.pages import ROOT, column, page, section, table

PAGE = page("CONTRIBUTING.md")
PROJECT = tomllib.loads(page("pyproject.toml"))


def test_every_make_target_stands_on_the_page() -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", page("Makefile"), re.MULTILINE)
    told = column(table(section(PAGE, "## Set-up")), "target")
    assert sorted(told) == sorted(f"make {target}" for target in targets)


def test_every_folder_of_tests_stands_on_the_page() -> None:
    folders = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("tests/*/test_*.py")}
    assert set(column(table(section(PAGE, "## Tests")), "folder")) == folders


def test_the_rules_are_those_of_the_import_check() -> None:
    told = re.findall(r"^- (.+)\.$", section(PAGE, "## Rules"), re.MULTILINE)
    assert told == [one["name"] for one in PROJECT["tool"]["importlinter"]["contracts"]]


def test_migrations_have_names_of_the_form_that_the_page_gives() -> None:
    assert "`shared/mysql/migrations/NNNN_name.sql`" in PAGE
    for name, _ in migrations():
        assert (ROOT / "shared" / "mysql" / "migrations" / name).is_file()
        assert re.fullmatch(r"\d{4}_[a-z_]+\.sql", name)


def test_the_newest_entry_of_the_changelog_is_the_projects_version() -> None:
    newest = re.findall(r"^## (\S+)", page("CHANGELOG.md"), re.MULTILINE)[0]
    assert newest == PROJECT["project"]["version"]
