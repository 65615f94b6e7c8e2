"""The upsert as statements: the templates beside this file, filled in from the contract.

Values are bound when a statement is run; only names and expressions that follow from the contract
are filled in here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from services.upserter.identity import ID_BITS, hashed_id_sql
from shared.contracts.model import Contract, Entity
from shared.contracts.row_rules import typed_sql, violation_sql
from shared.contracts.tables import Names
from shared.mysql.queries import load_fragments, load_queries
from shared.mysql.quoting import quoted

_TEMPLATES: Final = {
    name: template
    for file_name in ("classify.sql", "rejects.sql", "write.sql")
    for name, template in load_queries("services.upserter", file_name).items()
}
_FRAGMENTS: Final = load_fragments("services.upserter", "fragments.sql")
_OF_CROSSWALKS_ONLY: Final = frozenset({"insert_keys", "move_first_seen"})
# A field with one of these is quoted, as `encode_record` does it; no staged text holds a NUL.
_NEEDS_QUOTES_SQL: Final = "_utf8mb4 0x" + b'[",\x01-\x1f\x7f]'.hex()


@dataclass(frozen=True, slots=True)
class EntityPlan:
    """One entity and its statements, by the names that the .sql files give them."""

    entity: Entity
    sql: Mapping[str, str]
    id_bits: int


def plan_of(contract: Contract, *, id_bits: int = ID_BITS) -> tuple[EntityPlan, ...]:
    """The statements of every entity, parents first.

    Args:
        contract: names the entities, their columns and their parents.
        id_bits: fewer than ID_BITS make ids collide, for tests.
    """
    return tuple(_entity_plan(contract, entity, id_bits) for entity in contract.entities)


def _entity_plan(contract: Contract, entity: Entity, id_bits: int) -> EntityPlan:
    parts = _parts(contract, entity, id_bits)
    statements = {
        name: template.format_map(parts)
        for name, template in _TEMPLATES.items()
        if entity.has_children or name not in _OF_CROSSWALKS_ONLY
    }
    return EntityPlan(entity, statements, id_bits)


def _parts(contract: Contract, entity: Entity, id_bits: int) -> dict[str, str]:
    names = Names.of(entity)
    parts = {
        "entity": entity.name,
        "key": quoted(entity.key),
        "id": quoted(entity.id_column),
        "staging": quoted(names.staging),
        "delivered": quoted(names.delivered),
        "crosswalk_keys": quoted(names.crosswalk_keys),
        "production": quoted(names.production),
        "violation": violation_sql(entity, "s"),
        "hashed_id": _hashed_id(entity, entity.key, id_bits),
        "raw": _raw(entity),
    }
    parts |= _own_id_parts(entity, parts) | _parent_parts(contract, entity, id_bits)
    parts["id_joins"] = "\n".join(filter(None, (parts["own_joins"], parts["parent_joins"])))
    return parts | _column_parts(contract, entity, parts)


def _own_id_parts(entity: Entity, parts: Mapping[str, str]) -> dict[str, str]:
    collision = _FRAGMENTS["collision_of_row"].format_map(parts)
    if not entity.has_children:
        return {
            "own_joins": collision,
            "own_id": f"COALESCE(c.internal_id, {parts['hashed_id']})",
            "is_new": _FRAGMENTS["is_new_leaf"].format_map(parts),
        }
    crosswalk = _FRAGMENTS["crosswalk_of_row"].format_map(parts)
    return {
        "own_joins": f"{crosswalk}\n{collision}",
        "own_id": f"COALESCE(k.internal_id, c.internal_id, {parts['hashed_id']})",
        "is_new": _FRAGMENTS["is_new_in_crosswalk"].format_map(parts),
    }


def _parent_parts(contract: Contract, entity: Entity, id_bits: int) -> dict[str, str]:
    parent = contract.parent_of(entity)
    if parent is None:
        return {
            "parent_joins": "",
            "parent_id": "NULL",
            "parent_is_missing": "FALSE",
            "parent_was_refused": "FALSE",
        }
    names = Names.of(parent)
    parts = {
        "parent": parent.name,
        "parent_key": quoted(parent.key),
        "parent_staging": quoted(names.staging),
        "parent_delivered": quoted(names.delivered),
        "parent_crosswalk_keys": quoted(names.crosswalk_keys),
    }
    hashed = _hashed_id(parent, parent.key, id_bits)
    parent_id = f"COALESCE(pk.internal_id, pc.internal_id, {hashed})"
    in_drop = _FRAGMENTS["parent_in_drop"]
    accepted = in_drop.format_map(
        parts | {"parent_id": parent_id, "accepted_or_refused": "NOT NULL"}
    )
    refused = in_drop.format_map(
        parts | {"parent_id": "d.parent_id", "accepted_or_refused": "NULL"}
    )
    return {
        "parent_joins": _FRAGMENTS["ids_of_parent"].format_map(parts),
        "parent_id": parent_id,
        "parent_is_missing": f"pk.internal_id IS NULL AND NOT EXISTS ({accepted})",
        "parent_was_refused": f"EXISTS ({refused})",
    }


def _column_parts(contract: Contract, entity: Entity, parts: Mapping[str, str]) -> dict[str, str]:
    """Which production columns are filled from what, and when nothing differs."""
    parent = contract.parent_of(entity)
    typed = {column.name: typed_sql(column, "s") for column in entity.value_columns}
    values = dict(typed)
    same = [f"p.{quoted(name)} <=> {value}" for name, value in typed.items()]
    if not entity.has_children:
        values = {entity.key: f"s.{quoted(entity.key)}"} | values
    assigned = dict(typed)
    if parent is not None:
        values = {parent.id_column: "d.parent_id"} | values
        assigned = {parent.id_column: "d.parent_id"} | assigned
        same.insert(0, f"p.{quoted(parent.id_column)} = {parts['parent_id']}")
    values = {entity.id_column: "d.internal_id"} | values
    return {
        "columns": ", ".join(map(quoted, values)),
        "values": ", ".join(values.values()),
        "assignments": ", ".join(f"p.{quoted(name)} = {value}" for name, value in assigned.items()),
        "same_values": " AND ".join(same),
    }


def _hashed_id(entity: Entity, key_column: str, id_bits: int) -> str:
    return hashed_id_sql(entity.name, f"COALESCE(s.{quoted(key_column)}, '')", bits=id_bits)


def _raw(entity: Entity) -> str:
    fields = ", ".join(_field(f"s.{quoted(column)}") for column in entity.header)
    return f"CONCAT_WS(',', {fields})"


def _field(value: str) -> str:
    quoted = f"""CONCAT('"', REPLACE({value}, '"', '""'), '"')"""
    return f"IF({value} REGEXP {_NEEDS_QUOTES_SQL}, {quoted}, COALESCE({value}, ''))"
