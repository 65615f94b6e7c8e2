"""What CONTRIBUTING.md says of a new schema_version, done as it says, on the real MySQL."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crossdock.pack import pack
from crossdock.pipeline import Ending, run_arrival
from shared.bus.memory import MemoryBus
from shared.contracts import model
from shared.gcs_notification import arrival_of
from shared.mysql.connect import Database
from shared.mysql.migrate import migrate
from shared.stage import Parts
from tests.drops import Drop, later
from tests.pages import ROOT, page, quoted, section

V1 = (ROOT / "shared" / "contracts" / "v1.toml").read_text(encoding="utf-8")
(COLUMN,) = [
    word
    for word in quoted(section(page("CONTRIBUTING.md"), "## Changing the data contract"))
    if word.startswith("fax")
]
ENTITY = """
[entity.memberships]
key = "source_membership_id"
id = "membership_id"
parent = "customers"

[entity.memberships.columns]
source_membership_id = "text(64)!"
source_customer_id = "text(64)!"
since = "date!"
"""


@pytest.fixture
def new_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of contracts with a v2 beside v1: a column and an entity more."""
    folder = tmp_path / "contracts"
    folder.mkdir()
    v2 = V1.replace('schema_version = "v1"', 'schema_version = "v2"')
    v2 = v2.replace('country = "text(2)"\n', f'country = "text(2)"\n{COLUMN}\n') + ENTITY
    (folder / "v1.toml").write_text(V1, encoding="utf-8")
    (folder / "v2.toml").write_text(v2, encoding="utf-8")
    monkeypatch.setattr(model, "files", lambda _package: folder)
    model.contracts.cache_clear()
    yield
    monkeypatch.undo()
    model.contracts.cache_clear()


async def load(parts: Parts, drop: Drop) -> Ending:
    bus = MemoryBus()
    found = await parts.storage.stat(f"{drop.prefix}manifest.json")
    assert found is not None
    arrival = arrival_of(parts.storage.bucket, found.name, found.generation)
    assert arrival is not None
    parts = replace(parts, bus=bus)
    return (await run_arrival(arrival, parts, bus, progress=lambda _: None)).ending


@pytest.mark.usefixtures("new_version")
async def test_a_new_version_with_a_column_and_an_entity_more_is_only_data(
    parts: Parts, bucket_dir: Path, database: Database
) -> None:
    await migrate(parts.settings.mysql_url)

    old = Drop()
    old.write(bucket_dir)
    assert await load(parts, old) is Ending.REPORTED

    new = Drop(load_id="load-2", created_at=later(1))
    folder = new.write(bucket_dir)
    header, *rows = (folder / "customers.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0].startswith("C1,")
    customers = f"{header},fax\n{rows[0]},555\n"
    (folder / "customers.csv").write_text(customers, encoding="utf-8")
    (folder / "memberships.csv").write_text(
        "source_membership_id,source_customer_id,since\nM1,C1,2026-01-01\nM2,C2,2026-01-02\n",
        encoding="utf-8",
    )
    pack(folder, new.load_id, new.partner, datetime.now(UTC))
    assert await load(parts, new) is Ending.REPORTED

    faxes = await database.fetch_all(
        "SELECT source_key, fax FROM customers "
        "JOIN crosswalk_customers ON internal_id = customer_id ORDER BY source_key"
    )
    assert [tuple(row.values()) for row in faxes] == [("C1", "555"), ("C2", None), ("c1", None)]
    members = await database.fetch_all(
        "SELECT source_membership_id, source_key FROM memberships "
        "JOIN crosswalk_customers ON internal_id = customer_id ORDER BY 1"
    )
    assert [tuple(row.values()) for row in members] == [("M1", "C1"), ("M2", "C2")]
