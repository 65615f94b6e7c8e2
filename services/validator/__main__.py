"""The validator as a pull worker: for work that is longer than a push may take."""

from services.validator.stage import STAGE
from shared.worker import work

work(STAGE)
