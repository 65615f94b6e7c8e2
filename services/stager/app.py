"""The stager as a service: wiring only."""

from services.stager.stage import STAGE
from shared.service import create_app

app = create_app(STAGE)
