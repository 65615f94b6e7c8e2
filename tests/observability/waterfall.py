"""`python -m tests.observability.waterfall`: one real load's trace, drawn as text.

It starts a local stack of its own, brings the sample drop to it, and leaves nothing running.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from crossdock.cli.ledger_view import latest_report
from crossdock.pack import write_manifest
from crossdock.stack import local
from infra.local import sample
from tests.conftest import REPOSITORY
from tests.observability.collector import Collector, collector
from tests.observability.draw import draw
