"""The validator as a service: wiring only."""

from services.validator.stage import STAGE
from shared.service import create_app

app = create_app(STAGE)
