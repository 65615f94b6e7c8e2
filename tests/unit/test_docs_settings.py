"""docs/settings.md against the settings, the partners' file and what else reads the environment."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import get_args

from pydantic.fields import FieldInfo

from shared.partners import FEWEST_REJECTS_OVER_LIMIT, Partner, Partners
from shared.settings import Settings
from tests.pages import ROOT, column, page, quoted, section, table, tables

PAGE = page("docs/settings.md")
READERS = ("crossdock", "infra", "services", "shared", "tests/conftest.py")
# Every process has these; no one sets them for crossdock.
OF_EVERY_PROCESS = {"HOME", "PATH"}


def default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is None or field.default == ():
        return "none"
    return str(field.default)


def unit_of(name: str, field: FieldInfo) -> str:
    kinds = set(get_args(field.annotation)) or {field.annotation}
    if name.endswith("_seconds"):
        return "seconds"
    return {Path: "path", int: "attempts"}.get((kinds - {NoneType}).pop(), "text")


def test_every_setting_stands_on_the_page_with_its_default() -> None:
    rows = table(section(PAGE, "## crossdock"))
    assert dict(zip(column(rows, "setting"), column(rows, "default"), strict=True)) == {
        f"CROSSDOCK_{name.upper()}": default_of(field)
        for name, field in Settings.model_fields.items()
    }


def test_numbers_and_paths_have_the_unit_that_their_type_says() -> None:
    units = {row["setting"].strip("`"): row["unit"] for row in table(section(PAGE, "## crossdock"))}
    texts = {"URL", "name", "text", "mail address"}
    for name, field in Settings.model_fields.items():
        told = units[f"CROSSDOCK_{name.upper()}"]
        assert ("text" if told in texts else told) == unit_of(name, field)


def test_every_key_of_the_partners_file_stands_on_the_page_with_its_default() -> None:
    rows = table(section(PAGE, "## partners.toml"))
    known = {
        "unknown_folders": default_of(Partners.model_fields["unknown_folders"]),
        **{
            f"partners.NAME.{name}": default_of(field)
            for name, field in Partner.model_fields.items()
        },
    }
    assert dict(zip(column(rows, "key"), column(rows, "default"), strict=True)) == known
    (limit,) = [row["meaning"] for row in rows if "percent" in row["key"]]
    assert f"fewer than {FEWEST_REJECTS_OVER_LIMIT} rows" in limit


def names_read(tree: ast.AST) -> Iterator[str]:
    """What is asked of `environ`, by `.get()` or by index."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(value=source, attr="get"), args=[ast.Constant(name), *_]
            ):
                pass
            case ast.Subscript(value=source, slice=ast.Constant(name)):
                pass
            case _:
                continue
        if ast.unparse(source).endswith("environ"):
            yield str(name)


def test_no_variable_is_read_that_does_not_stand_on_the_page() -> None:
    modules = [
        path
        for reader in READERS
        for path in ([ROOT / reader] if reader.endswith(".py") else (ROOT / reader).rglob("*.py"))
    ]
    read = {name for path in modules for name in names_read(ast.parse(path.read_bytes()))}
    assert {"CROSSDOCK_PUBSUB_EMULATOR", "JAVA_HOME", "XDG_CACHE_HOME", "CI"} <= read
    for script in ROOT.glob("crossdock/stack/*.sh"):
        read |= set(re.findall(r"\$\{([A-Z_]+)", script.read_text(encoding="utf-8")))
    told = {
        word for rows in tables(PAGE) for row in rows for word in quoted(next(iter(row.values())))
    }
    assert read - OF_EVERY_PROCESS <= told


def test_no_page_names_a_setting_that_does_not_exist() -> None:
    told = set(re.findall(r"CROSSDOCK_[A-Z_]+", PAGE))
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")):
        named = set(re.findall(r"CROSSDOCK_[A-Z_]+", path.read_text(encoding="utf-8")))
        assert named <= told, path
