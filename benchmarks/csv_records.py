"""Speed of reading and rewriting CSV on one core: `python -m benchmarks.csv_records [MEGABYTES]`.

Reads a synthetic line_items file in chunks as the stager does, once with plain fields only and once
with a few quoted ones, and prints the megabytes per second of each step and of both together.
"""

import sys
from itertools import count
from time import perf_counter

from shared.contracts.model import contracts
from shared.csv_records import RecordReader, canonical_lines
from shared.storage.port import CHUNK_BYTES

_ROWS_OF_PATTERN = 10_000
_RUNS = 3


def _line_items(header: tuple[str, ...], size_bytes: int, *, quoted: bool) -> list[bytes]:
    description = '"Bremsbeläge, ""Keramik"" no. {0}"' if quoted else "Brake pads front {0}"
    row = "LI-{0:07d},I-{1:06d},{2},part,P-{2:04d}," + description + ",1.000,{2}.2500,{2}.25\n"
    rows = [row.format(i, i // 3, i % 977, i % 89) for i in range(_ROWS_OF_PATTERN)]
    pattern = "".join(rows).encode()
    text = ",".join(header).encode() + b"\n" + pattern * (size_bytes // len(pattern))
    return [text[start : start + CHUNK_BYTES] for start in range(0, len(text), CHUNK_BYTES)]


def _seconds(header: tuple[str, ...], chunks: list[bytes]) -> tuple[float, float]:
    reader = RecordReader("line_items.csv", header)
    reading = rewriting = 0.0
    for chunk in chunks:
        started = perf_counter()
        first_row_no = reader.rows + 1
        records = reader.feed(chunk)
        read = perf_counter()
        canonical_lines((b"%d" % row for row in count(first_row_no)), records)
        reading += read - started
        rewriting += perf_counter() - read
    reader.finish()
    return reading, rewriting


def main() -> None:
    """Print the best of several runs for each kind of data."""
    size_bytes = int(float(sys.argv[1]) * 1e6) if len(sys.argv) > 1 else 60_000_000
    header = contracts()["v1"].entity("line_items").header
    for name, quoted in (("plain", False), ("quoted", True)):
        chunks = _line_items(header, size_bytes, quoted=quoted)
        reading, rewriting = min((_seconds(header, chunks) for _ in range(_RUNS)), key=sum)
        megabytes = sum(map(len, chunks)) / 1e6
        print(
            f"{name:6}  read {megabytes / reading:5.0f} MB/s"
            f"  rewrite {megabytes / rewriting:5.0f} MB/s"
            f"  together {megabytes / (reading + rewriting):5.0f} MB/s"
        )


if __name__ == "__main__":
    main()
