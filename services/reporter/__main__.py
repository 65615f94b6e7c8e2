"""The reporter as a pull worker: for work that is longer than a push may take."""

from dataclasses import replace

from services.reporter.deliver import deliver_soon
from services.reporter.stage import STAGE
from shared.dead_letters import take_letter
from shared.worker import work

work(replace(STAGE, after=deliver_soon), take_letter=take_letter)
