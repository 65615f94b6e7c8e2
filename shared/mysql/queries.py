"""Statements live in .sql files, each under `-- name:` with a sentence; this reads them."""

import re
from functools import cache
from importlib.resources import files

_HEAD = re.compile(r"^-- name: (?P<name>[a-z_]+)\n", re.MULTILINE)


@cache
def load_queries(package: str, file_name: str) -> dict[str, str]:
    """The statements of a .sql file by name, without their comments.

    Each carries its name behind its first word, as `SELECT /* shared.sweep.loads_at_rest */`, so
    that a process list, a slow log and a test know it. The word stays first for the driver, which
    joins the rows of an INSERT only where it sees one.

    Raises:
        ValueError: two statements have one name, or one has no sentence that says what it is for.
    """
    queries: dict[str, str] = {}
    room = f"{package}.{file_name.removesuffix('.sql')}"
    for name, statement in load_fragments(package, file_name).items():
        verb, rest = re.split(r"\s", statement, maxsplit=1)
        queries[name] = f"{verb} /* {room}.{name} */ {rest}"
    return queries


@cache
def load_fragments(package: str, file_name: str) -> dict[str, str]:
    """The same without the names, for parts of statements.

    Raises:
        ValueError: two statements have one name, or one has no sentence that says what it is for.
    """
    text = files(package).joinpath(file_name).read_text(encoding="utf-8")
    _, *parts = _HEAD.split(text)
    fragments: dict[str, str] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        lines = body.strip().splitlines()
        statement = [line for line in lines if not line.startswith("--")]
        if name in fragments or len(statement) == len(lines):
            raise ValueError(f"{package}/{file_name}: {name} is doubled or lacks its sentence")
        fragments[name] = "\n".join(statement).strip().rstrip(";")
    return fragments
