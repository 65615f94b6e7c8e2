"""`crossdock`: the operator's and the partner's command line."""

import signal

from crossdock.cli.app import app as application


def main() -> None:
    """Run the command line with this process's arguments; SIGTERM ends it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    application(prog_name="crossdock")
