"""What a run leaves in the database, to be held against what a quiet one left."""

import json
from collections import Counter
from typing import Final

from shared.mysql.connect import Database
from tests.faults.oracles import Violation

# What a day leaves, but for times, tokens and how often something was tried.
LEFT: Final = (
    (
        "SELECT load_id, partner, state, reached, run, failed_run, failure_code, "
        "REGEXP_REPLACE(failure_message, '[0-9]{15,}', 'n') AS failure_message, validated_run, "
        "staged_run, applied_run, reported_run, JSON_LENGTH(warnings) AS warnings "
        "FROM load_ledger ORDER BY load_id"
    ),
    "SELECT object, verdict, load_id, run, failure_code FROM arrival ORDER BY noticed_at",
    (
        "SELECT load_id, run, entity, name, size_bytes, row_count, sha256 FROM load_file "
        "ORDER BY load_id, run, entity"
    ),
    "SELECT * FROM load_count ORDER BY load_id, run, entity",
    "SELECT * FROM load_reject ORDER BY load_id, run, entity, row_no",
    (
        "SELECT load_id, run, topic, COUNT(*) AS events FROM outbox GROUP BY load_id, run, topic "
        "ORDER BY load_id, run, topic"
    ),
    (
        "SELECT subject, IF(run < 1000, run, 0) AS run, channel, outcome FROM notification "
        "ORDER BY subject, run, channel, outcome"
    ),
    "SELECT * FROM identity_collision",
    *(
        f"SELECT * FROM {table} ORDER BY 1, 2, 3"
        for table in (
            *("customers", "vehicles", "invoices", "line_items"),
            *("crosswalk_keys_customers", "crosswalk_keys_vehicles", "crosswalk_keys_invoices"),
        )
    ),
    *(
        f"SELECT s.* FROM staging_{entity} s "
        "JOIN load_ledger l ON l.load_id = s.load_id AND l.staged_run = s.run ORDER BY 1, 2, 3"
        for entity in ("customers", "vehicles", "invoices", "line_items")
    ),
)
Left = list[str]


async def left(database: Database) -> Left:
    """What a day leaves in the database, line by line."""
    return [
        json.dumps(row, default=str)
        for question in LEFT
        for row in await database.fetch_all(question)
    ]


def difference(found: Left, quiet: Left) -> list[Violation]:
    """What one has and the other has not."""
    more, fewer = Counter(found) - Counter(quiet), Counter(quiet) - Counter(found)
    return [
        *(Violation("as_on_a_quiet_day", f"has {line}") for line in sorted(more)),
        *(Violation("as_on_a_quiet_day", f"lacks {line}") for line in sorted(fewer)),
    ]
