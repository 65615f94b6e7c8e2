-- What is worked out before the transaction: which row gets which id, and what is to be done with
-- it. A row that `delivered` holds without an action is rejected, and leaves it at the end.
-- {...} come from the contract.

-- name: forget_earlier
-- Work rows of attempts that never committed, a piece at a time; those of the applied one stay.
DELETE FROM {delivered}
WHERE load_id = %(load_id)s AND fence <> %(applied_fence)s AND fence <= %(fence)s LIMIT %(most)s

-- name: survey
-- The rows of a file as they were staged and as they were pinned, and where they end.
SELECT COUNT(*) AS staged, MAX(row_no) AS last_row,
    (SELECT row_count FROM load_file WHERE load_id = %(load_id)s AND run = %(validated_run)s
        AND entity = '{entity}') AS pinned
FROM {staging} WHERE load_id = %(load_id)s AND run = %(staged_run)s

-- name: classify
-- Staged rows once: their rules, their ids, their parents' ids, and how production compares. What
-- comes out is sorted before it goes in, for ids are hashes and the work rows stand in their order.
INSERT INTO {delivered} (load_id, fence, internal_id, row_no, parent_id, action)
SELECT /*+ NO_MERGE(classified) */ %(load_id)s, %(fence)s, internal_id, row_no, parent_id, action
FROM (
    SELECT {own_id} AS internal_id, s.row_no, {parent_id} AS parent_id,
        CASE
            WHEN ({violation}) IS NOT NULL THEN NULL
            WHEN {parent_is_missing} THEN NULL
            WHEN {is_new} THEN 'insert'
            WHEN p.source_version > %(version)s THEN 'stale'
            WHEN {same_values} THEN 'unchanged'
            ELSE 'update'
        END AS action
    FROM {staging} s
    {id_joins}
    LEFT JOIN {production} p ON p.{id} = {own_id}
    WHERE s.load_id = %(load_id)s AND s.run = %(staged_run)s
        AND s.row_no BETWEEN %(first_row)s AND %(last_row)s
) classified
ORDER BY internal_id

-- name: has_shared_ids
-- Whether any id stands more than once: copies of a key, merged keys, or a collision.
SELECT EXISTS (
    SELECT 1 FROM {delivered} WHERE load_id = %(load_id)s AND fence = %(fence)s
    GROUP BY internal_id HAVING COUNT(*) > 1
)

-- name: refuse_copies
-- Every copy of a key that stands more than once, whatever else is wrong with one of them.
UPDATE (
    SELECT d.internal_id, d.row_no, COUNT(*) OVER (PARTITION BY d.internal_id, s.{key}) AS copies
    FROM (
        SELECT internal_id FROM {delivered} WHERE load_id = %(load_id)s AND fence = %(fence)s
        GROUP BY internal_id HAVING COUNT(*) > 1
    ) shared
    STRAIGHT_JOIN {delivered} d ON d.load_id = %(load_id)s AND d.fence = %(fence)s
        AND d.internal_id = shared.internal_id
    STRAIGHT_JOIN {staging} s ON s.load_id = %(load_id)s AND s.run = %(staged_run)s
        AND s.row_no = d.row_no
) copy
STRAIGHT_JOIN {delivered} d ON d.load_id = %(load_id)s AND d.fence = %(fence)s
    AND d.internal_id = copy.internal_id AND d.row_no = copy.row_no
SET d.action = NULL
WHERE copy.copies > 1

-- name: count_actions
-- How many rows there are of each action; no action is a reject.
SELECT action, COUNT(*) AS row_count FROM {delivered}
WHERE load_id = %(load_id)s AND fence = %(fence)s GROUP BY action

-- name: contested_ids
-- New keys whose id production or the table of collisions gave to another key, or that share it.
SELECT s.row_no, s.{key} AS source_key, contested.internal_id, contested.is_taken
FROM (
    SELECT row_no, MAX(internal_id) AS internal_id, MAX(is_taken) AS is_taken
    FROM (
        SELECT d.row_no, d.internal_id, TRUE AS is_taken
        FROM {delivered} d STRAIGHT_JOIN {production} p ON p.{id} = d.internal_id
        WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s AND d.action = 'insert'
        UNION ALL
        SELECT d.row_no, d.internal_id, TRUE
        FROM identity_collision c
        STRAIGHT_JOIN {delivered} d ON d.load_id = %(load_id)s AND d.fence = %(fence)s
            AND d.internal_id = c.internal_id
        STRAIGHT_JOIN {staging} s ON s.load_id = %(load_id)s AND s.run = %(staged_run)s
            AND s.row_no = d.row_no
        WHERE c.entity = '{entity}' AND d.action = 'insert'
            AND (c.source_system <> %(source_system)s OR c.source_key <> s.{key})
        UNION ALL
        SELECT d.row_no, d.internal_id, FALSE
        FROM (
            SELECT internal_id FROM {delivered}
            WHERE load_id = %(load_id)s AND fence = %(fence)s AND action = 'insert'
            GROUP BY internal_id HAVING COUNT(*) > 1
        ) shared
        STRAIGHT_JOIN {delivered} d ON d.load_id = %(load_id)s AND d.fence = %(fence)s
            AND d.internal_id = shared.internal_id
        WHERE d.action = 'insert'
    ) reasons
    GROUP BY row_no
) contested
STRAIGHT_JOIN {staging} s ON s.load_id = %(load_id)s AND s.run = %(staged_run)s
    AND s.row_no = contested.row_no

-- name: is_id_taken
-- Whether any key of any partner has this id, or is about to get it.
SELECT EXISTS (SELECT 1 FROM {production} WHERE {id} = %(internal_id)s)
    OR EXISTS (
        SELECT 1 FROM identity_collision
        WHERE entity = '{entity}' AND internal_id = %(internal_id)s
    )
    OR EXISTS (
        SELECT 1 FROM {delivered}
        WHERE load_id = %(load_id)s AND fence = %(fence)s AND internal_id = %(internal_id)s
    )

-- name: registered_id
-- The id that a key was given instead of its hash.
SELECT internal_id FROM identity_collision
WHERE entity = '{entity}' AND source_system = %(source_system)s AND source_key = %(source_key)s

-- name: forget_collision
-- The id that a key was to get, but that another key has got meanwhile.
DELETE FROM identity_collision
WHERE entity = '{entity}' AND source_system = %(source_system)s AND source_key = %(source_key)s
    AND internal_id = %(contested_id)s

-- name: register_collision
-- The id that a key gets instead of its hash, from now on.
INSERT INTO identity_collision (entity, source_system, source_key, internal_id)
VALUES ('{entity}', %(source_system)s, %(source_key)s, %(internal_id)s)

-- name: give_other_id
-- The same for the row that brought the key.
UPDATE {delivered} SET internal_id = %(internal_id)s
WHERE load_id = %(load_id)s AND fence = %(fence)s AND internal_id = %(contested_id)s
    AND row_no = %(row_no)s

-- name: yield_to_newer_load
-- For a late load: rows that a newer applied load has delivered, be it without a change.
UPDATE {delivered} d STRAIGHT_JOIN {delivered} newer
    ON newer.load_id = %(newer_load)s AND newer.fence = %(newer_fence)s
    AND newer.internal_id = d.internal_id
SET d.action = 'stale'
WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s AND d.action IN ('update', 'unchanged')

-- name: yield_to_survivor
-- Of merged keys in one drop only one writes the row: the one that the id was made of, if there.
UPDATE (
    SELECT d.internal_id, d.row_no,
        ROW_NUMBER() OVER (
            PARTITION BY d.internal_id ORDER BY {hashed_id} = d.internal_id DESC, d.row_no
        ) AS place
    FROM (
        SELECT internal_id FROM {delivered}
        WHERE load_id = %(load_id)s AND fence = %(fence)s AND action IS NOT NULL
        GROUP BY internal_id HAVING COUNT(*) > 1
    ) shared
    STRAIGHT_JOIN {delivered} d ON d.load_id = %(load_id)s AND d.fence = %(fence)s
        AND d.internal_id = shared.internal_id
    STRAIGHT_JOIN {staging} s ON s.load_id = %(load_id)s AND s.run = %(staged_run)s
        AND s.row_no = d.row_no
    WHERE d.action IS NOT NULL
) merged
STRAIGHT_JOIN {delivered} d ON d.load_id = %(load_id)s AND d.fence = %(fence)s
    AND d.internal_id = merged.internal_id AND d.row_no = merged.row_no
SET d.action = 'unchanged'
WHERE merged.place > 1 AND d.action = 'update'
