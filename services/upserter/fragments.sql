-- Parts of statements: what depends on whether an entity has a parent or children.
-- s is the staged row, p its production row. {...} come from the contract.

-- name: action
-- What is to be done with a row; a parent that production has already is not looked for.
CASE
    WHEN ({violation}) IS NOT NULL THEN 'reject'
    WHEN {is_new} THEN IF({parent_is_missing}, 'reject', 'insert')
    WHEN NOT {same_parent} AND {parent_is_missing} THEN 'reject'
    WHEN p.source_version > %(version)s THEN 'stale'
    WHEN {same_parent} AND {same_values} THEN 'unchanged'
    ELSE 'update'
END

-- name: crosswalk_of_row
-- The id that the key of an entity with children has since an earlier load.
LEFT JOIN {crosswalk_keys} k ON k.hashed_id = s.hashed_id
    AND k.source_system = %(source_system)s AND k.source_key = s.{key}

-- name: collision_of_row
-- The id that the key got instead of its hash.
LEFT JOIN identity_collision c
    ON c.entity = '{entity}' AND c.source_system = %(source_system)s AND c.source_key = s.{key}

-- name: production_of_row
-- The row that has the id.
LEFT JOIN {production} p ON p.{id} = {row_id}

-- name: ids_of_parent
-- The ids that the parent's key may have instead of its hash.
LEFT JOIN {parent_crosswalk_keys} pk ON pk.hashed_id = s.hashed_parent_id
    AND pk.source_system = %(source_system)s AND pk.source_key = s.{parent_key}
LEFT JOIN identity_collision pc
    ON pc.entity = '{parent}' AND pc.source_system = %(source_system)s
    AND pc.source_key = s.{parent_key}

-- name: parent_is_missing
-- No row of the parent's key, neither accepted in this drop nor of an earlier load.
NOT EXISTS (
    SELECT 1 FROM {parent_staging} ps
    WHERE ps.load_id = %(load_id)s AND ps.run = %(staged_run)s
        AND ps.hashed_id = s.hashed_parent_id AND ps.{parent_key} = s.{parent_key}
        AND (%(refused_parents)s = 0 OR NOT EXISTS (
            SELECT 1 FROM {parent_plan} pd WHERE pd.load_id = %(load_id)s AND pd.fence = %(fence)s
                AND pd.hashed_id = ps.hashed_id AND pd.row_no = ps.row_no AND pd.action = 'reject'
        ))
) AND NOT EXISTS (
    SELECT 1 FROM {parent_crosswalk_keys} pe WHERE pe.hashed_id = s.hashed_parent_id
        AND pe.source_system = %(source_system)s AND pe.source_key = s.{parent_key}
)

-- name: parent_was_refused
-- The parent's key stands among the rejects of this drop.
EXISTS (
    SELECT 1 FROM {parent_staging} ps
    STRAIGHT_JOIN {parent_plan} pd ON pd.load_id = %(load_id)s AND pd.fence = %(fence)s
        AND pd.hashed_id = ps.hashed_id AND pd.row_no = ps.row_no
    WHERE ps.load_id = %(load_id)s AND ps.run = %(staged_run)s
        AND ps.hashed_id = s.hashed_parent_id AND ps.{parent_key} = s.{parent_key}
        AND pd.action = 'reject'
)

-- name: is_new_in_crosswalk
-- No row yet, for an entity with children; a row that has the id without the key is another key's.
(k.internal_id IS NULL OR p.{id} IS NULL)

-- name: is_new_leaf
-- No row yet, for an entity whose key stands in its own row.
(p.{id} IS NULL OR p.source_system <> %(source_system)s OR p.{key} <> s.{key})

-- name: is_not_planned
-- Whether a staged row of a piece is one of those with which the expected is done.
NOT EXISTS (
    SELECT 1 FROM {plan} d WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s
        AND d.hashed_id BETWEEN %(first_hash)s AND %(last_hash)s
        AND d.hashed_id = s.hashed_id AND d.row_no = s.row_no
)
