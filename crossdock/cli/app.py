"""The command line: which commands there are, and what becomes of a fault in one."""

from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from crossdock.cli.errors import ExitCode, error_document, exit_code_of, explain
from crossdock.cli.output import JSON_OPTION, complain, show_json
from shared.logs import set_up_logs

# Each command with its module, which is imported when the command is asked for: most of them need
# none of the packages that the others stand on, and those take a second to import.
COMMANDS: Final = {
    "up": "crossdock.cli.stack",
    "down": "crossdock.cli.stack",
    "migrate": "crossdock.cli.stack",
    "pack": "crossdock.cli.drop",
    "check": "crossdock.cli.drop",
    "upload": "crossdock.cli.upload",
    "run": "crossdock.cli.run",
    "status": "crossdock.cli.load",
    "report": "crossdock.cli.load",
    "replay": "crossdock.cli.load",
    "sweep": "crossdock.cli.stack",
    "doctor": "crossdock.cli.doctor",
    "sample": "crossdock.cli.sample",
    "demo": "crossdock.cli.demo",
    "dead-letter": "crossdock.cli.dead_letter",
}


class CommandGroup(TyperGroup):
    """Commands; a fault in one becomes its exit code and a message.

    The message goes to stderr, and with `--json` also into the one document on stdout.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run a command.

        Raises:
            Exit: with the exit code of whatever the command raised.
        """
        set_up_logs("error")
        wants_json = JSON_OPTION in ctx.args
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except TyperException as wrong:
            if wants_json:
                show_json(error_document(ExitCode(wrong.exit_code), wrong.format_message()))
            raise
        except Exception as fault:
            code, text = exit_code_of(fault), explain(fault)
            complain(text)
            if wants_json:
                show_json(error_document(code, text))
            raise typer.Exit(code) from fault


class LazyCommands(CommandGroup):
    """All of COMMANDS, each made when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all commands, in the order of the help."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None."""
        del ctx
        return command_of(cmd_name) if cmd_name in COMMANDS else None


CONTEXT_SETTINGS: Final = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    cls=LazyCommands,
    epilog="Exit codes: 0 done; 1 unexpected fault; 2 wrong usage; 3 the load was rejected; "
    "4 not found; 5 a dependency was unreachable or the fault may pass; 6 counts do not reconcile.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT_SETTINGS,
)


@app.callback()
def crossdock() -> None:
    """Partners' CSV drops into a production MySQL: complete, verified, in order, once."""


def command_of(name: str) -> Any:
    """One of COMMANDS, made of its function, or the group of commands that its module holds."""
    found = getattr(import_module(COMMANDS[name]), name.replace("-", "_"))
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False, context_settings=CONTEXT_SETTINGS)
        alone.command()(found)
        found = alone
    command = typer.main.get_command(found)
    command.name = name
    return command
