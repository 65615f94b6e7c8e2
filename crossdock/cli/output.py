"""Where a command's words go: its result to stdout, all else to stderr."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import typer
from rich.console import Console, RenderableType

# As wide as a log viewer usually is; a terminal says itself how wide it is.
WIDTH_WITHOUT_TERMINAL = 140
JSON_OPTION = "--json"

Progress = Callable[[str], None]


def show(*renderables: RenderableType) -> None:
    """Print something for a person to stdout."""
    console = _console()
    for renderable in renderables:
        console.print(renderable, markup=False, soft_wrap=isinstance(renderable, str))


def lines_of(renderable: RenderableType) -> int:
    """How many lines it takes where `show` prints it."""
    return len(_console().render_lines(renderable, pad=False))


def _console() -> Console:
    width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    return Console(width=width, highlight=False)


def show_json(document: Mapping[str, Any]) -> None:
    """Print the one document of a `--json` call to stdout."""
    typer.echo(json.dumps(document, indent=2))


def complain(text: str) -> None:
    """Say on stderr what went wrong."""
    typer.echo(f"crossdock: {text}", err=True)


def progress() -> Progress:
    """Says on stderr what is being done, where somebody watches; else says nothing."""
    if not sys.stderr.isatty():
        return lambda _line: None
    return lambda line: typer.echo(line, err=True)
