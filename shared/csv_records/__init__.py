"""The partners' CSV dialect: strict reading, and the one rewrite that MySQL reads back exactly."""

from shared.csv_records.dialect import MAX_FIELD_BYTES
from shared.csv_records.reader import RecordReader
from shared.csv_records.record import (
    canonical_lines,
    encode_record,
    fields_of,
    leading_columns,
)
from shared.csv_records.totals import ControlTotals

__all__ = [
    "MAX_FIELD_BYTES",
    "ControlTotals",
    "RecordReader",
    "canonical_lines",
    "encode_record",
    "fields_of",
    "leading_columns",
]
