"""The tables of each entity, rendered from the contract: staging, plan, crosswalk, production.

All four lie in the order of the keys' hashes, which are the ids of production: whatever brings two
of them together reads both from one end to the other.

Staging rows stay after their load was applied: they tell a late load which rows a newer load has
delivered without changing them, and the crosswalk where a key was last seen. `plan_*` holds, for
each attempt of an upsert, the rows with which something else is done than with most; those that
were rejected are told apart by it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from shared.contracts.model import Contract, Entity
from shared.contracts.row_rules import column_ddl
from shared.mysql.quoting import quoted

OPTIONS = "DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin"
_LOAD_ID = "VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL"
_SOURCE_SYSTEM = _LOAD_ID


@dataclass(frozen=True, slots=True)
class Names:
    """The table names of one entity."""

    staging: str
    plan: str
    crosswalk: str
    crosswalk_keys: str
    production: str

    @classmethod
    def of(cls, entity: Entity) -> "Names":
        """The names by which scripts and people know an entity's tables."""
        name = entity.name
        return cls(
            staging=f"staging_{name}",
            plan=f"plan_{name}",
            crosswalk=f"crosswalk_{name}",
            crosswalk_keys=f"crosswalk_keys_{name}",
            production=name,
        )


def table_statements(contract: Contract) -> dict[str, str]:
    """The CREATE statement of every table of the contract by its name, parents first."""
    statements: dict[str, str] = {}
    for entity in contract.entities:
        names = Names.of(entity)
        statements[names.staging] = _staging(entity)
        statements[names.plan] = _plan(entity)
        statements[names.production] = _production(entity, contract.parent_of(entity))
        if entity.has_children:
            statements[names.crosswalk_keys] = _crosswalk_keys(entity)
            statements[names.crosswalk] = _crosswalk_view(entity)
    return statements


def column_statements(contract: Contract, existing: Iterable[tuple[str, str]]) -> list[str]:
    """ALTER statements for the columns that a newer contract has and the tables do not.

    `existing` names the (table, column) pairs of the database. A column that an older load could
    not deliver is added without NOT NULL.
    """
    present = set(existing)
    statements: list[str] = []
    for entity in contract.entities:
        names = Names.of(entity)
        statements += [
            f"ALTER TABLE {quoted(names.staging)} ADD COLUMN {quoted(column.name)} MEDIUMTEXT NULL"
            for column in entity.columns
            if (names.staging, column.name) not in present
        ]
        statements += [
            f"ALTER TABLE {quoted(names.production)} ADD COLUMN "
            f"{quoted(column.name)} {column_ddl(replace(column, required=False))}"
            for column in entity.value_columns
            if (names.production, column.name) not in present
        ]
    return statements


def _table(name: str, lines: Iterable[str]) -> str:
    body = ",\n    ".join(lines)
    return f"CREATE TABLE {quoted(name)} (\n    {body}\n) {OPTIONS}"


def staging_head(entity: Entity) -> tuple[str, ...]:
    """The columns of a staged row that stand before those of its file."""
    hashes = ("hashed_id",) if entity.parent is None else ("hashed_id", "hashed_parent_id")
    return (*hashes, "row_no")


def _staging(entity: Entity) -> str:
    columns = [f"{quoted(column.name)} MEDIUMTEXT NULL" for column in entity.columns]
    *hashes, row_no = staging_head(entity)
    head = [f"load_id {_LOAD_ID}", "run INT UNSIGNED NOT NULL"]
    head += [f"{name} BIGINT NOT NULL" for name in hashes]
    head.append(f"{row_no} BIGINT UNSIGNED NOT NULL")
    key = "PRIMARY KEY (load_id, run, hashed_id, row_no)"
    return _table(Names.of(entity).staging, [*head, *columns, key])


def _plan(entity: Entity) -> str:
    return _table(
        Names.of(entity).plan,
        [
            f"load_id {_LOAD_ID}",
            "fence BIGINT UNSIGNED NOT NULL",
            "hashed_id BIGINT NOT NULL",
            "row_no BIGINT UNSIGNED NOT NULL",
            "internal_id BIGINT NOT NULL",
            "parent_id BIGINT NULL",
            "action ENUM('insert', 'update', 'unchanged', 'stale', 'reject') NOT NULL",
            "PRIMARY KEY (load_id, fence, hashed_id, row_no)",
        ],
    )


def _production(entity: Entity, parent: Entity | None) -> str:
    lines = [f"{quoted(entity.id_column)} BIGINT NOT NULL"]
    keys = [f"PRIMARY KEY ({quoted(entity.id_column)})"]
    if parent is not None:
        lines.append(f"{quoted(parent.id_column)} BIGINT NOT NULL")
        keys.append(f"KEY by_parent ({quoted(parent.id_column)})")
        keys.append(
            f"CONSTRAINT {quoted(f'{entity.name}_have_{parent.name}')} "
            f"FOREIGN KEY ({quoted(parent.id_column)}) "
            f"REFERENCES {quoted(parent.name)} ({quoted(parent.id_column)})"
        )
    if not entity.has_children:
        lines.append(f"{quoted(entity.key)} {column_ddl(entity.column(entity.key))}")
    lines += [f"{quoted(column.name)} {column_ddl(column)}" for column in entity.value_columns]
    lines += [
        f"source_system {_SOURCE_SYSTEM}",
        "source_version BIGINT NOT NULL",
        f"first_load_id {_LOAD_ID}",
        f"last_load_id {_LOAD_ID}",
    ]
    return _table(Names.of(entity).production, [*lines, *keys])


def _crosswalk_keys(entity: Entity) -> str:
    key = column_ddl(entity.column(entity.key))
    return _table(
        Names.of(entity).crosswalk_keys,
        [
            "hashed_id BIGINT NOT NULL",
            f"source_system {_SOURCE_SYSTEM}",
            f"source_key {key}",
            "internal_id BIGINT NOT NULL",
            f"first_seen_load_id {_LOAD_ID}",
            "PRIMARY KEY (hashed_id, source_system, source_key)",
        ],
    )


def _crosswalk_view(entity: Entity) -> str:
    names = Names.of(entity)
    return f"""CREATE SQL SECURITY INVOKER VIEW {quoted(names.crosswalk)} AS
SELECT k.source_system, k.source_key, k.internal_id, k.first_seen_load_id,
    (SELECT l.load_id FROM load_ledger l JOIN {quoted(names.staging)} s
        ON s.load_id = l.load_id AND s.run = l.applied_staged_run AND s.hashed_id = k.hashed_id
            AND s.{quoted(entity.key)} = k.source_key
     WHERE l.source_system = k.source_system AND l.applied_fence IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM {quoted(names.plan)} d
            WHERE d.load_id = l.load_id AND d.fence = l.applied_fence
                AND d.hashed_id = s.hashed_id AND d.row_no = s.row_no AND d.action = 'reject')
     ORDER BY l.version DESC LIMIT 1) AS last_seen_load_id
FROM {quoted(names.crosswalk_keys)} k"""  # noqa: S608 - names of the contract
