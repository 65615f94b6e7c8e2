"""Statements live in .sql files, each under `-- name:` with a sentence; this reads them."""

import re
from functools import cache
from importlib.resources import files

_HEAD = re.compile(r"^-- name: (?P<name>[a-z_]+)\n", re.MULTILINE)


@cache
def load_queries(package: str, file_name: str) -> dict[str, str]:
    """The statements of a .sql file by name, without their comments.

    Raises:
        ValueError: two statements have one name, or one has no sentence that says what it is for.
    """
    text = files(package).joinpath(file_name).read_text(encoding="utf-8")
    _, *parts = _HEAD.split(text)
    queries: dict[str, str] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        lines = body.strip().splitlines()
        statement = [line for line in lines if not line.startswith("--")]
        if name in queries or len(statement) == len(lines):
            raise ValueError(f"{package}/{file_name}: {name} is doubled or lacks its sentence")
        queries[name] = "\n".join(statement).strip().rstrip(";")
    return queries
