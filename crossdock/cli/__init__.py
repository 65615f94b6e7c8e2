"""`crossdock`: the operator's and the partner's command line."""

import signal

from crossdock.cli.app import app as application
from shared.memory import give_large_buffers_back


def main() -> None:
    """Run the command line with this process's arguments; SIGTERM ends it as Ctrl-C does.

    A shell without job control, as `nohup` is used from, starts what goes to the background deaf to
    Ctrl-C, and asyncio leaves that so; then SIGTERM would be lost as well.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    give_large_buffers_back()
    application(prog_name="crossdock")
