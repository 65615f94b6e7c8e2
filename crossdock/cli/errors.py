"""What a command's end means to a script: one exit code for each kind of fault, in one place."""

import traceback
from enum import IntEnum
from typing import Any

from google.auth.exceptions import GoogleAuthError

from crossdock.pack import DropNotFound, WrongValue
from crossdock.stack.errors import StackError
from shared.errors import Rejected, TransientFault
from shared.mysql.migrate import SchemaError
from shared.partners import PartnersError
from shared.settings import SettingsError


class ExitCode(IntEnum):
    """The exit codes that scripts rely on."""

    DONE = 0
    UNEXPECTED = 1
    WRONG_USAGE = 2
    REJECTED = 3
    NOT_FOUND = 4
    UNAVAILABLE = 5
    MISMATCH = 6


class WrongUsage(Exception):  # noqa: N818 - a verdict on the call, not an error of ours
    """What was asked for cannot be done as it was asked; the text says what to do instead."""


class NotFound(Exception):  # noqa: N818 - a fact about what was asked for
    """There is no such load, report or drop."""


EXIT_CODES: tuple[tuple[ExitCode, tuple[type[Exception], ...]], ...] = (
    (ExitCode.WRONG_USAGE, (WrongUsage, WrongValue, SettingsError, PartnersError)),
    (ExitCode.REJECTED, (Rejected,)),
    (ExitCode.NOT_FOUND, (NotFound, DropNotFound)),
    (ExitCode.UNAVAILABLE, (TransientFault, StackError, GoogleAuthError)),
)
# Faults whose text says all there is to know; any other one is shown with its way through the code.
EXPLAINED: tuple[type[Exception], ...] = (
    SchemaError,
    *(kind for _, kinds in EXIT_CODES for kind in kinds),
)


def exit_code_of(fault: Exception) -> ExitCode:
    """What a script is told of a fault."""
    for code, kinds in EXIT_CODES:
        if isinstance(fault, kinds):
            return code
    return ExitCode.UNEXPECTED


def explain(fault: Exception) -> str:
    """What a person is told of a fault: what happened, and what to do next."""
    match fault:
        case Rejected():
            return f"{fault}\nWhat to do: {fault.failure.remedy}"
        case TransientFault():
            return f"{fault}\n`crossdock doctor` checks every dependency."
        case GoogleAuthError():
            return (
                f"Google Cloud does not know who is asking: {fault}\n"
                "Sign in with `gcloud auth application-default login`, or start the local stack "
                "with `crossdock up`."
            )
        case _ if isinstance(fault, EXPLAINED):
            return str(fault)
        case _:
            trace = "".join(traceback.format_exception(fault))
            return f"{type(fault).__name__}, which nobody expected:\n{trace}"


def error_document(code: ExitCode, message: str) -> dict[str, Any]:
    """What a script reads on stdout of a `--json` call that has no other document to give."""
    return {"error": {"exit_code": int(code), "message": message}}
