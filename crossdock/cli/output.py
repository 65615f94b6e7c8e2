"""Where a command's words go: its result to stdout, all else to stderr."""

import json
import sys
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table

# As wide as a log viewer usually is; a terminal says itself how wide it is.
WIDTH_WITHOUT_TERMINAL = 140
JSON_OPTION = "--json"
Json = Annotated[bool, typer.Option(JSON_OPTION, help="Print one JSON document.")]

Progress = Callable[[str], None]


def show(*renderables: RenderableType) -> None:
    """Print something for a person to stdout."""
    console = _console()
    for renderable in renderables:
        console.print(renderable, markup=False, soft_wrap=isinstance(renderable, str))


def table_of(
    names: Sequence[str],
    rows: Iterable[Sequence[RenderableType]],
    *,
    whole: Container[str] = (),
    title: str | None = None,
) -> Table:
    """A table that a terminal of 80 columns shows without cutting anything off.

    Args:
        names: the heads of its columns.
        rows: its cells.
        whole: the columns whose cells stay in one line, such as times; the others are folded.
        title: what stands above it.
    """
    table = Table(
        title=title and f"\n{title}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        collapse_padding=True,
    )
    for name in names:
        table.add_column(name, overflow="fold", no_wrap=name in whole)
    for row in rows:
        table.add_row(*row)
    return table


def short_time(text: str | None) -> str | None:
    """A time of a document as tables show it: UTC, to the second."""
    return None if text is None else text[:19].replace("T", " ")


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
