"""The upsert as statements: the templates beside this file, filled in from the contract.

Values are bound when a statement is run; only names and expressions that follow from the contract
are filled in here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from shared.contracts.model import Contract, Entity
from shared.contracts.row_rules import typed_sql, violation_sql
from shared.contracts.tables import Names
from shared.identity import ID_BITS
from shared.mysql.queries import load_fragments, load_queries
from shared.mysql.quoting import quoted

_TEMPLATES: Final = {
    name: template
    for file_name in ("classify.sql", "rejects.sql", "write.sql")
    for name, template in load_queries("services.upserter", file_name).items()
}
_FRAGMENTS: Final = load_fragments("services.upserter", "fragments.sql")
_ALL: Final = {"is_not_planned": "TRUE"}
_OF_CROSSWALKS_ONLY: Final = frozenset({"insert_keys", "insert_expected_keys", "move_first_seen"})
# A field with one of these is quoted, as `encode_record` does it; no staged text holds a NUL.
_NEEDS_QUOTES_SQL: Final = "_utf8mb4 0x" + b'[",\x01-\x1f\x7f]'.hex()


@dataclass(frozen=True, slots=True)
class EntityPlan:
    """One entity and its statements, by the names that the .sql files give them.

    Attributes:
        entity: the entity.
        sql: its statements.
        sql_of_all: those that write the rows that are not planned, where none is planned.
        id_bits: of its ids.
    """

    entity: Entity
    sql: Mapping[str, str]
    sql_of_all: Mapping[str, str]
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
    templates = {
        name: template
        for name, template in _TEMPLATES.items()
        if entity.has_children or name not in _OF_CROSSWALKS_ONLY
    }
    of_all = {
        name: template for name, template in templates.items() if "{is_not_planned}" in template
    }
    return EntityPlan(entity, _filled(templates, parts), _filled(of_all, parts | _ALL), id_bits)


def _filled(templates: Mapping[str, str], parts: Mapping[str, str]) -> dict[str, str]:
    return {name: template.format_map(parts) for name, template in templates.items()}


def _parts(contract: Contract, entity: Entity, id_bits: int) -> dict[str, str]:
    names = Names.of(entity)
    parts = {
        "entity": entity.name,
        "key": quoted(entity.key),
        "id": quoted(entity.id_column),
        "staging": quoted(names.staging),
        "plan": quoted(names.plan),
        "crosswalk_keys": quoted(names.crosswalk_keys),
        "production": quoted(names.production),
        "violation": violation_sql(entity, "s"),
        "own_hash": _id_of_hash("s.hashed_id", id_bits),
        "planned_hash": _id_of_hash("d.hashed_id", id_bits),
        "raw": _raw(entity),
    }
    parts |= _parent_parts(contract, entity, id_bits)
    parts |= _own_parts(entity, parts)
    parts["is_not_planned"] = _FRAGMENTS["is_not_planned"].format_map(parts)
    return parts | _column_parts(contract, entity, parts)


def _own_parts(entity: Entity, parts: Mapping[str, str]) -> dict[str, str]:
    """A row's own id and row: where every id is a hash, and where any key may have another."""
    collision = _FRAGMENTS["collision_of_row"].format_map(parts)
    crosswalk = _FRAGMENTS["crosswalk_of_row"].format_map(parts) if entity.has_children else ""
    in_crosswalk = "k.internal_id, " if entity.has_children else ""
    any_own_id = f"COALESCE({in_crosswalk}c.internal_id, {parts['own_hash']})"
    found_by = _FRAGMENTS["production_of_row"]
    own_row = found_by.format_map({**parts, "row_id": parts["own_hash"]})
    any_row = found_by.format_map({**parts, "row_id": any_own_id})
    is_new = _FRAGMENTS["is_new_in_crosswalk" if entity.has_children else "is_new_leaf"]
    return {
        "any_own_id": any_own_id,
        "own_row": _lines(crosswalk, own_row),
        "any_row": _lines(crosswalk, collision, parts["any_parent"], any_row),
        "is_new": is_new.format_map(parts),
    }


def _parent_parts(contract: Contract, entity: Entity, id_bits: int) -> dict[str, str]:
    parent = contract.parent_of(entity)
    if parent is None:
        return {
            "any_parent": "",
            "any_parent_id": "NULL",
            "hashed_parent_id": "NULL",
            "parent_is_missing": "FALSE",
            "parent_was_refused": "FALSE",
        }
    names = Names.of(parent)
    parts = {
        "parent": parent.name,
        "parent_key": quoted(parent.key),
        "parent_staging": quoted(names.staging),
        "parent_plan": quoted(names.plan),
        "parent_crosswalk_keys": quoted(names.crosswalk_keys),
    }
    hashed = _id_of_hash("s.hashed_parent_id", id_bits)
    return {
        "any_parent": _FRAGMENTS["ids_of_parent"].format_map(parts),
        "any_parent_id": f"COALESCE(pk.internal_id, pc.internal_id, {hashed})",
        "hashed_parent_id": hashed,
        "parent_is_missing": _FRAGMENTS["parent_is_missing"].format_map(parts),
        "parent_was_refused": _FRAGMENTS["parent_was_refused"].format_map(parts),
    }


def _column_parts(contract: Contract, entity: Entity, parts: Mapping[str, str]) -> dict[str, str]:
    """Which production columns are filled from what, and when nothing differs."""
    parent = contract.parent_of(entity)
    typed = {column.name: typed_sql(column, "s") for column in entity.value_columns}
    values = dict(typed)
    same = [f"p.{quoted(name)} <=> {value}" for name, value in typed.items()]
    if not entity.has_children:
        values = {entity.key: f"s.{quoted(entity.key)}"} | values
    ids, planned_ids, expected_ids = [entity.id_column], ["d.internal_id"], [parts["own_hash"]]
    assigned = dict(typed)
    parent_column = None if parent is None else f"p.{quoted(parent.id_column)}"
    if parent is not None:
        ids.append(parent.id_column)
        planned_ids.append("d.parent_id")
        expected_ids.append(parts["hashed_parent_id"])
        assigned = {parent.id_column: "d.parent_id"} | assigned
    same_values = " AND ".join(same) or "TRUE"
    return {
        "columns": ", ".join(map(quoted, (*ids, *values))),
        "planned_values": ", ".join((*planned_ids, *values.values())),
        "expected_values": ", ".join((*expected_ids, *values.values())),
        "assignments": ", ".join(f"p.{quoted(name)} = {value}" for name, value in assigned.items()),
        "action": _action(parts, same_values, parent_column, parts["hashed_parent_id"]),
        "any_action": _action(parts, same_values, parent_column, parts["any_parent_id"]),
    }


def _action(
    parts: Mapping[str, str], same_values: str, parent_column: str | None, parent_id: str
) -> str:
    same_parent = "TRUE" if parent_column is None else f"({parent_column} = {parent_id})"
    compared = {"same_values": same_values, "same_parent": same_parent}
    return _FRAGMENTS["action"].format_map({**parts, **compared})


def _id_of_hash(column: str, id_bits: int) -> str:
    return column if id_bits == ID_BITS else f"({column} >> {ID_BITS - id_bits})"


def _lines(*parts: str) -> str:
    return "\n".join(filter(None, parts))


def _raw(entity: Entity) -> str:
    fields = ", ".join(_field(f"s.{quoted(column)}") for column in entity.header)
    return f"CONCAT_WS(',', {fields})"


def _field(value: str) -> str:
    quoted = f"""CONCAT('"', REPLACE({value}, '"', '""'), '"')"""
    return f"IF({value} REGEXP {_NEEDS_QUOTES_SQL}, {quoted}, COALESCE({value}, ''))"
