-- Parts of statements: what depends on whether an entity has a parent or children.
-- s is the staged row, p its production row. {...} come from the contract.

-- name: crosswalk_of_row
-- The id that the key of an entity with children has since an earlier load.
LEFT JOIN {crosswalk_keys} k ON k.source_system = %(source_system)s AND k.source_key = s.{key}

-- name: collision_of_row
-- The id that the key got instead of its hash.
LEFT JOIN identity_collision c
    ON c.entity = '{entity}' AND c.source_system = %(source_system)s AND c.source_key = s.{key}

-- name: ids_of_parent
-- The same two for the parent's key.
LEFT JOIN {parent_crosswalk_keys} pk
    ON pk.source_system = %(source_system)s AND pk.source_key = s.{parent_key}
LEFT JOIN identity_collision pc
    ON pc.entity = '{parent}' AND pc.source_system = %(source_system)s
    AND pc.source_key = s.{parent_key}

-- name: parent_in_drop
-- The parent's row in this drop; an id alone could be another key's, so the keys are compared.
SELECT 1 FROM {parent_delivered} pd STRAIGHT_JOIN {parent_staging} ps
    ON ps.load_id = %(load_id)s AND ps.run = %(staged_run)s AND ps.row_no = pd.row_no
WHERE pd.load_id = %(load_id)s AND pd.fence = %(fence)s
    AND pd.internal_id = {parent_id} AND pd.action IS {accepted_or_refused}
    AND ps.{parent_key} = s.{parent_key}

-- name: is_new_in_crosswalk
-- No row yet, for an entity with children; a row that has the id without the key is another key's.
k.internal_id IS NULL OR p.{id} IS NULL

-- name: is_new_leaf
-- No row yet, for an entity whose key stands in its own row.
p.{id} IS NULL OR p.source_system <> %(source_system)s OR p.{key} <> s.{key}
