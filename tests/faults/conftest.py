"""The fixtures of the integration tests serve here too."""

from tests.integration.conftest import (
    bucket_dir,
    bus,
    database,
    database_url,
    ledger,
    parts,
    settings,
)

__all__ = ["bucket_dir", "bus", "database", "database_url", "ledger", "parts", "settings"]
