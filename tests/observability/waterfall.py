"""`python -m tests.observability.waterfall`: the trace of the demo's load, drawn as text."""

import os
import subprocess
import sys

from crossdock.cli.sample import LOAD_ID
from tests.conftest import REPOSITORY
from tests.observability.collector import collector
from tests.observability.draw import draw


def main() -> None:
    """Run the demo under a collector, and draw what came."""
    with collector() as taking:
        subprocess.run(
            [sys.executable, "-m", "crossdock", "demo"],
            cwd=REPOSITORY,
            env={**os.environ, **taking.environment()},
            stdout=sys.stderr,
            check=True,
        )
    sys.stdout.write(f"{draw(taking.of_load(LOAD_ID))}\n")


if __name__ == "__main__":
    main()
