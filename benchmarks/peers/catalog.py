"""The peers, each used as its documentation says, and told the types of the columns."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.peers.job import Job
from shared.contracts.model import Column, Kind

Command = Sequence[str]


@dataclass(frozen=True, slots=True)
class Peer:
    """One tool.

    Attributes:
        name: of the tool, its lock file and its environment.
        package: whose version is told.
        manner: how it is used, in words.
        commands: what one load is, one command after the other.
        environment: what is set for them; nothing is sent to their makers.
        only_appends: whether it is no merge, but the reference for the bare way in.
    """

    name: str
    package: str
    manner: str
    commands: Callable[[Job], list[Command]]
    environment: Callable[[Job], Mapping[str, str]] = lambda _job: {}
    only_appends: bool = False


def _script(name: str) -> Callable[[Job], list[Command]]:
    def commands(job: Job) -> list[Command]:
        python = str(job.environment / "bin" / "python")
        path = Path(__file__).with_name(name)
        return [[python, str(path), str(job.written("job.json", job.document()))]]

    return commands


def _sql_type(column: Column, text: str) -> str:
    """The type's name as sling and ingestr write it; they differ in what a text is."""
    match column.kind:
        case Kind.TEXT:
            return f"{text}({column.size})"
        case Kind.INT:
            return "bigint"
        case Kind.DECIMAL:
            return f"decimal({column.size},{column.scale})"
        case Kind.DATE:
            return "date"
        case Kind.TIMESTAMP:
            return "timestamp"


def _sling(job: Job) -> list[Command]:
    package = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    program = job.environment / package / "sling_linux_amd64" / "bin" / "sling-linux-amd64"
    streams = {
        f"file://{job.drop / entity.file_name}": {
            "object": f"{job.address.database}.{entity.name}",
            "primary_key": [entity.key],
            "columns": {column.name: _sql_type(column, "string") for column in entity.columns},
            "target_options": {"table_keys": {"primary": [entity.key]}},
        }
        for entity in job.entities
    }
    replication = {
        "source": "LOCAL",
        "target": "PEER",
        "defaults": {"mode": "incremental"},
        "streams": streams,
    }
    return [[str(program), "run", "-r", str(job.written("replication.json", replication))]]


def _ingestr(job: Job) -> list[Command]:
    program = str(job.environment / "bin" / "ingestr")
    return [
        [
            program,
            "ingest",
            f"--source-uri=csv://{job.drop / entity.file_name}",
            "--source-table=sample",
            f"--dest-uri={job.url('mysql')}",
            f"--dest-table={job.address.database}.{entity.name}",
            "--incremental-strategy=merge",
            f"--primary-key={entity.key}",
            "--columns=" + ",".join(f"{c.name}:{_sql_type(c, 'varchar')}" for c in entity.columns),
            "--progress=log",
            "--yes",
        ]
        for entity in job.entities
    ]


PEERS: Final = (
    Peer(
        "dlt",
        "dlt",
        '`filesystem` source with `read_csv_duckdb`, `write_disposition="merge"`, `primary_key`, '
        "`sqlalchemy` destination with `create_primary_keys`",
        _script("with_dlt.py"),
        lambda _job: {"RUNTIME__DLTHUB_TELEMETRY": "false"},
    ),
    Peer(
        "sling",
        "sling-linux-amd64",
        "a replication, `mode: incremental` with `primary_key` and `table_keys`",
        _sling,
        lambda job: {"SLING_DISABLE_TELEMETRY": "true", "PEER": job.url("mysql")},
    ),
    Peer(
        "ingestr",
        "ingestr",
        "`ingest --incremental-strategy=merge --primary-key`, once for each file",
        _ingestr,
        lambda _job: {"INGESTR_DISABLE_TELEMETRY": "true", "DISABLE_TELEMETRY": "true"},
    ),
    Peer(
        "pandas",
        "pandas",
        '`read_csv(chunksize=10_000)` and `to_sql(if_exists="append")`',
        _script("with_pandas.py"),
        only_appends=True,
    ),
    Peer(
        "polars",
        "polars",
        '`read_csv` and `write_database(if_table_exists="append")`',
        _script("with_polars.py"),
        only_appends=True,
    ),
)
