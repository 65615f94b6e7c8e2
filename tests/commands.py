"""The commands of the command line by all words of their names."""

from collections.abc import Iterator, Mapping

from typer.core import TyperCommand, TyperGroup

from crossdock.cli.app import COMMANDS, command_of


def commands() -> dict[str, TyperCommand]:
    """Every command that can be called, such as `status` and `dead-letter list`."""
    return dict(_under({name: command_of(name) for name in COMMANDS}, ()))


def _under(
    commands: Mapping[str, object], words: tuple[str, ...]
) -> Iterator[tuple[str, TyperCommand]]:
    for name, command in commands.items():
        if isinstance(command, TyperGroup):
            yield from _under(command.commands, (*words, name))
        else:
            assert isinstance(command, TyperCommand)
            yield " ".join((*words, name)), command
