"""The command line: which commands there are, and what becomes of a fault in one."""

from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from crossdock.cli import dead_letter
from crossdock.cli.demo import demo
from crossdock.cli.doctor import doctor
from crossdock.cli.drop import check, pack
from crossdock.cli.errors import ExitCode, error_document, exit_code_of, explain
from crossdock.cli.load import replay, report, status
from crossdock.cli.output import JSON_OPTION, complain, show_json
from crossdock.cli.run import run
from crossdock.cli.sample import sample
from crossdock.cli.stack import down, migrate, sweep, up
from crossdock.cli.upload import upload
from shared.logs import set_up_logs

COMMANDS = (
    up,
    down,
    migrate,
    pack,
    check,
    upload,
    run,
    status,
    report,
    replay,
    sweep,
    doctor,
    sample,
    demo,
)


class CommandGroup(TyperGroup):
    """All commands; a fault in one becomes its exit code and a message.

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


app = typer.Typer(
    cls=CommandGroup,
    help="Partners' CSV drops into a production MySQL: complete, verified, in order, once.",
    epilog="Exit codes: 0 done; 1 unexpected fault; 2 wrong usage; 3 the load was rejected; "
    "4 not found; 5 a dependency was unreachable or the fault may pass; 6 counts do not reconcile.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(dead_letter.commands, name="dead-letter")
