"""The stager as a pull worker: for work that is longer than a push may take."""

from services.stager.stage import STAGE
from shared.worker import work

work(STAGE)
