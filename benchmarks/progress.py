"""What a benchmark is at, told to whoever looks on."""

import sys


def say(line: str) -> None:
    """One line on standard error, if that is a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"bench: {line}\n")
