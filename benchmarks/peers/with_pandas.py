"""One load by pandas; runs in pandas' environment and knows nothing of crossdock."""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

CHUNK_ROWS = 10_000


def sql_type(column: dict[str, Any]) -> Any:
    """The column's type in the table that `to_sql` makes."""
    match column["kind"]:
        case "text":
            return sa.String(column["size"])
        case "int":
            return sa.BigInteger()
        case "decimal":
            return sa.Numeric(column["size"], column["scale"])
        case "date":
            return sa.Date()
        case _:
            return sa.DateTime()


def main(job: dict[str, Any]) -> None:
    """Append the four files to their tables."""
    engine = sa.create_engine(job["url"])
    for entity in job["entities"]:
        types = {column["name"]: sql_type(column) for column in entity["columns"]}
        chunks = pd.read_csv(
            Path(job["drop"]) / entity["file"],
            dtype=str,
            keep_default_na=False,
            na_values=[""],
            chunksize=CHUNK_ROWS,
        )
        for chunk in chunks:
            chunk.to_sql(entity["name"], engine, if_exists="append", index=False, dtype=types)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
