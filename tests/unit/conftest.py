"""What several unit tests begin with."""

from pathlib import Path

import pytest

from tests.unit.local_drops import Drop


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    """A good drop where a partner's would lie."""
    return Drop(tmp_path / "imports" / "acme" / "load-1")
