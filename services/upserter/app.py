"""The upserter as a service: wiring only."""

from services.upserter.stage import STAGE
from shared.service import create_app

app = create_app(STAGE)
