"""The commands of the command line by all words of their names."""

from collections.abc import Iterator

from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from crossdock.cli.app import app


def commands() -> dict[str, TyperCommand]:
    """Every command that can be called, such as `status` and `dead-letter list`."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return dict(_under(group, ()))


def _under(group: TyperGroup, words: tuple[str, ...]) -> Iterator[tuple[str, TyperCommand]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _under(command, (*words, name))
        else:
            assert isinstance(command, TyperCommand)
            yield " ".join((*words, name)), command
