"""What docs/contract.md tells a partner of the ack, against the code."""

from services.reporter.acks import MOST_REJECTS_BYTES
from services.reporter.partner_view import (
    ACK_NAME,
    REJECTS_NAME,
    ack_folder,
    refusal_name,
    refusal_of,
)
from services.reporter.reconcile import EntityCounts, ReportedFile
from services.reporter.rejects_csv import COLUMNS
from services.upserter.checks import MOST_STORED_REJECTS
from shared.errors import Failure
from tests.pages import column, page, quoted, section, table

PAGE = page("docs/contract.md")
ACK = section(PAGE, "### ack.json")
REJECTS = section(PAGE, "### rejects.csv")
REFUSAL = refusal_of(
    {
        "load_id": "L",
        "object": "imports/p/L/manifest.json",
        "generation": "7",
        "failure": Failure.of("manifest.load_id_reused", "m").to_json(),
    }
)


def meaning(key: str) -> list[str]:
    (row,) = [row for row in table(ACK) if row["key"] == f"`{key}`"]
    return quoted(row["meaning"])


def test_the_names_are_those_that_are_written() -> None:
    head = section(PAGE, "## The ack")
    names = [line.split()[0] for line in head.split("```")[1].strip().splitlines()]
    assert names == [
        "gs://BUCKET/" + ack_folder("p", "L").replace("/p/L/", "/{partner}/{load_id}/"),
        REJECTS_NAME,
        ACK_NAME,
        refusal_name("{generation}"),
    ]


def test_every_key_of_an_ack_stands_on_the_page() -> None:
    assert column(table(ACK), "key") == list(REFUSAL)
    assert meaning("entities") == list(EntityCounts.__dataclass_fields__)
    assert meaning("failure") == list(REFUSAL["failure"])
    assert meaning("files") == list(ReportedFile.__dataclass_fields__)
    assert meaning("rejects")[:2] == list(REFUSAL["rejects"])
    assert meaning("manifest") == list(REFUSAL["manifest"])


def test_every_column_of_the_rejected_rows_stands_on_the_page() -> None:
    assert tuple(column(table(REJECTS), "column")) == COLUMNS
    assert f"first {MOST_STORED_REJECTS:,} of each file" in REJECTS
    assert f"at most {MOST_REJECTS_BYTES // 2**20} MiB" in " ".join(REJECTS.split())
