"""Control totals: exact sums of a file's columns as delivered."""

import re
from collections.abc import Collection, Iterable
from decimal import Context, Decimal, localcontext

from shared.csv_records.dialect import MAX_FIELD_BYTES
from shared.csv_records.record import fields_of

_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")

# Digits before the point, after it, and those that a sum over any number of rows may add.
_EXACT = Context(prec=2 * MAX_FIELD_BYTES + 32)


class ControlTotals:
    """Exact sums of the named columns over verified records, rejected rows included.

    An empty field is no value and adds nothing. A value that is no number makes the column's total
    wrong for good.
    """

    def __init__(self, header: tuple[str, ...], columns: Collection[str]) -> None:
        self._positions = {column: header.index(column) for column in columns}
        self._sums: dict[str, Decimal | None] = dict.fromkeys(columns, Decimal(0))

    def add(self, records: Iterable[bytes]) -> None:
        """Take the records into the sums."""
        if not self._positions:
            return
        rows = [fields_of(record) for record in records]
        for column, position in self._positions.items():
            so_far = self._sums[column]
            if so_far is not None:
                values = [row[position] for row in rows if row[position]]
                self._sums[column] = _sum(values, so_far)

    def sums(self) -> dict[str, Decimal | None]:
        """The sum of each column so far; None where a value is no number."""
        return dict(self._sums)


def _sum(values: list[str], start: Decimal) -> Decimal | None:
    if not all(map(_NUMBER.fullmatch, values)):
        return None
    with localcontext(_EXACT):
        return sum(map(Decimal, values), start)
