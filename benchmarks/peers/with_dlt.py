"""One load by dlt; runs in dlt's environment and knows nothing of crossdock."""

import json
import sys
from pathlib import Path
from typing import Any

import dlt
from dlt.sources.filesystem import readers

DUCKDB_TYPES = {"text": "VARCHAR", "int": "BIGINT", "date": "DATE", "timestamp": "TIMESTAMPTZ"}


def duckdb_type(column: dict[str, Any]) -> str:
    """The column's type as DuckDB's CSV reader is told it."""
    return DUCKDB_TYPES.get(column["kind"]) or f"DECIMAL({column['size']},{column['scale']})"


def hint(column: dict[str, Any]) -> dict[str, Any]:
    """A text's length: MySQL indexes no text without one."""
    return {"data_type": "text", "precision": column["size"]} if column["kind"] == "text" else {}


def main(job: dict[str, Any]) -> None:
    """Merge the four files into their tables."""
    pipeline = dlt.pipeline(
        pipeline_name="peer",
        pipelines_dir=job["folder"],
        destination=dlt.destinations.sqlalchemy(job["url"], create_primary_keys=True),
        dataset_name=job["database"],
    )
    resources = []
    for entity in job["entities"]:
        reader = readers(bucket_url=Path(job["drop"]).as_uri(), file_glob=entity["file"])
        types = {column["name"]: duckdb_type(column) for column in entity["columns"]}
        resource = reader.read_csv_duckdb(use_pyarrow=True, header=True, dtype=types)
        resource = resource.with_name(entity["name"])
        resource.apply_hints(
            write_disposition="merge",
            primary_key=entity["key"],
            columns={column["name"]: hint(column) for column in entity["columns"]},
        )
        resources.append(resource)
    pipeline.run(resources)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
