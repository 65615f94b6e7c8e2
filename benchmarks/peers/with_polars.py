"""One load by polars; runs in polars' environment and knows nothing of crossdock."""

import json
import sys
from pathlib import Path
from typing import Any

import polars as pl


def dtype(column: dict[str, Any]) -> Any:
    """The column's type as it is read; a table of the same types is made from it."""
    match column["kind"]:
        case "text":
            return pl.String
        case "int":
            return pl.Int64
        case "decimal":
            return pl.Decimal(column["size"], column["scale"])
        case "date":
            return pl.Date
        case _:
            return pl.Datetime


def main(job: dict[str, Any]) -> None:
    """Append the four files to their tables."""
    for entity in job["entities"]:
        types = {column["name"]: dtype(column) for column in entity["columns"]}
        frame = pl.read_csv(Path(job["drop"]) / entity["file"], schema_overrides=types)
        frame.write_database(entity["name"], job["url"], if_table_exists="append")


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
