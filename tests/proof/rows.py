"""The rules of a row in Python against those in MySQL, on seeded values of every type.

Each value stands alone in a row that is otherwise in order, so the row's verdict is its own: none,
or a code and a column. Where there is none, both must also read the same typed value.
"""

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from pymysql.cursors import Cursor

from shared.contracts.model import Column, Entity, Kind
from shared.contracts.row_rules import first_violation
from tests.proof.tally import Tally
from tests.property.test_row_rules_agree import (
    ENTITIES,
    meanings,
    mysql_verdicts,
    python_verdicts,
    tables_of_rules,
    texts,
    typed_values,
)

TOTAL = 100_000
VALUES_AT_ONCE = 20
IN_ORDER = {
    Kind.TEXT: "k",
    Kind.INT: "1",
    Kind.DECIMAL: "1",
    Kind.DATE: "2024-02-29",
    Kind.TIMESTAMP: "2024-02-29T00:00:00Z",
}


def compare(server_url: str, seed_: int, numbers: range) -> Tally:
    """Judge so many values twice, each column's share of them."""
    columns = [(entity, column) for entity in ENTITIES for column in entity.columns]
    share = -(-len(numbers) // len(columns))
    tally = Tally()
    with tables_of_rules(server_url) as cursor:
        for entity, column in columns:
            try:
                judge(cursor, entity, column, seed_ + numbers.start, share, tally)
            except AssertionError as differs:
                tally.disagreements.append(f"{entity.name}.{column.name}: {differs}")
    return tally


def judge(
    cursor: Cursor, entity: Entity, column: Column, seed_: int, share: int, tally: Tally
) -> None:
    """Hold `share` values of a column, or a few more, against both languages.

    Raises:
        AssertionError: they differ, told by the smallest values that show it.
    """
    position = entity.header.index(column.name)
    good = [IN_ORDER[one.kind] for one in entity.columns]

    @seed(seed_)
    @settings(
        max_examples=-(-share // VALUES_AT_ONCE),
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(texts(column), min_size=VALUES_AT_ONCE, max_size=VALUES_AT_ONCE))
    def agree(values: list[str]) -> None:
        rows = [(*good[:position], value, *good[position + 1 :]) for value in values]
        verdicts = python_verdicts(entity, rows)
        assert mysql_verdicts(cursor, entity, rows) == verdicts
        in_order = [row for row in rows if first_violation(entity, row) is None]
        assert typed_values(cursor, entity, in_order) == meanings(entity, in_order)
        for verdict in verdicts:
            tally.add("in order" if verdict is None else verdict.partition(" ")[0], None)

    agree()
