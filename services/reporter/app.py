"""The reporter as a service: wiring, and the sweep for a scheduler to call."""

from services.reporter.deliver import deliver_due
from services.reporter.stage import STAGE
from shared.service import create_app

app = create_app(STAGE, after_sweep=deliver_due)
