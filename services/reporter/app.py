"""The reporter as a service: wiring, the sweep for a scheduler to call, and dead letters."""

from dataclasses import replace

from services.reporter.deliver import deliver_due, deliver_soon
from services.reporter.stage import STAGE
from shared.dead_letters import take_letter
from shared.service import create_app

app = create_app(
    replace(STAGE, after=deliver_soon), after_sweep=deliver_due, take_letter=take_letter
)
