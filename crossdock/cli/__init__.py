"""`crossdock`: the operator's and the partner's command line."""

from crossdock.cli.app import app as application


def main() -> None:
    """Run the command line with this process's arguments."""
    application(prog_name="crossdock")
