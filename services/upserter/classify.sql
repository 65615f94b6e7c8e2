-- What is worked out before a file is written: which row gets which id, and what is to be done with
-- it. A row that is not in the plan gets its hash as id, and what is expected of most is done.
-- {...} come from the contract.

-- name: forget_earlier
-- The plans of attempts that never committed, a piece at a time; that of the applied one stays.
DELETE FROM {plan}
WHERE load_id = %(load_id)s AND fence <> %(applied_fence)s AND fence <= %(fence)s LIMIT %(most)s

-- name: pinned_rows
-- The rows of the validated file.
SELECT row_count FROM load_file
WHERE load_id = %(load_id)s AND run = %(validated_run)s AND entity = '{entity}'

-- name: survey
-- How many rows of a piece are staged, and to how many ids they come. COUNT(*) could be told by the
-- index alone, of which MySQL then would read all in a table without statistics.
SELECT COUNT(COALESCE(s.{key}, '')) AS staged, COUNT(DISTINCT {own_hash}) AS hashes
FROM {staging} s WHERE load_id = %(load_id)s AND run = %(staged_run)s
    AND hashed_id BETWEEN %(first_hash)s AND %(last_hash)s

-- name: sample
-- How many of some rows are new; in the order of hashes, the first rows are any rows.
SELECT COUNT(*) AS sampled, COALESCE(SUM(is_new), 0) AS new_rows
FROM (
    SELECT {is_new} AS is_new
    FROM (
        SELECT hashed_id, {key} FROM {staging}
        WHERE load_id = %(load_id)s AND run = %(staged_run)s ORDER BY hashed_id LIMIT %(most)s
    ) s
    {own_row}
) sampled

-- name: classify
-- Staged rows once: their rules, their parents, and how production compares; what is not expected
-- is planned. No key of the source_system has another id than its hash.
INSERT INTO {plan} (load_id, fence, hashed_id, row_no, internal_id, parent_id, action)
SELECT %(load_id)s, %(fence)s, s.hashed_id, s.row_no, {own_hash}, {hashed_parent_id},
    {action} AS action
FROM {staging} s
{own_row}
WHERE s.load_id = %(load_id)s AND s.run = %(staged_run)s
    AND s.hashed_id BETWEEN %(first_hash)s AND %(last_hash)s
HAVING action <> %(expected)s

-- name: classify_all
-- The same where nothing is expected: keys may have other ids than their hashes, or one together.
INSERT INTO {plan} (load_id, fence, hashed_id, row_no, internal_id, parent_id, action)
SELECT %(load_id)s, %(fence)s, s.hashed_id, s.row_no, {any_own_id}, {any_parent_id}, {any_action}
FROM {staging} s
{any_row}
WHERE s.load_id = %(load_id)s AND s.run = %(staged_run)s
    AND s.hashed_id BETWEEN %(first_hash)s AND %(last_hash)s

-- name: refuse_copies
-- Every copy of a key that stands more than once, whatever else is wrong with one of them.
UPDATE (
    SELECT s.hashed_id, s.row_no, COUNT(*) OVER (PARTITION BY s.hashed_id, s.{key}) AS copies
    FROM (
        SELECT hashed_id FROM {staging} WHERE load_id = %(load_id)s AND run = %(staged_run)s
        GROUP BY hashed_id HAVING COUNT(*) > 1
    ) shared
    STRAIGHT_JOIN {staging} s ON s.load_id = %(load_id)s AND s.run = %(staged_run)s
        AND s.hashed_id = shared.hashed_id
) copy
STRAIGHT_JOIN {plan} d ON d.load_id = %(load_id)s AND d.fence = %(fence)s
    AND d.hashed_id = copy.hashed_id AND d.row_no = copy.row_no
SET d.action = 'reject'
WHERE copy.copies > 1

-- name: count_actions
-- How many planned rows there are of each action.
SELECT action, COUNT(*) AS row_count FROM {plan}
WHERE load_id = %(load_id)s AND fence = %(fence)s GROUP BY action

-- name: contested_ids
-- New keys whose id production or the table of collisions gave to another key, or that share it.
SELECT s.row_no, s.{key} AS source_key, contested.internal_id, contested.is_taken
FROM (
    SELECT hashed_id, row_no, MAX(internal_id) AS internal_id, MAX(is_taken) AS is_taken
    FROM (
        SELECT d.hashed_id, d.row_no, d.internal_id, TRUE AS is_taken
        FROM {plan} d STRAIGHT_JOIN {production} p ON p.{id} = d.internal_id
        WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s AND d.action = 'insert'
        UNION ALL
        SELECT d.hashed_id, d.row_no, d.internal_id, TRUE
        FROM {plan} d
        STRAIGHT_JOIN identity_collision c
            ON c.entity = '{entity}' AND c.internal_id = d.internal_id
        STRAIGHT_JOIN {staging} s ON s.load_id = %(load_id)s AND s.run = %(staged_run)s
            AND s.hashed_id = d.hashed_id AND s.row_no = d.row_no
        WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s AND d.action = 'insert'
            AND (c.source_system <> %(source_system)s OR c.source_key <> s.{key})
        UNION ALL
        SELECT hashed_id, row_no, internal_id, FALSE
        FROM (
            SELECT hashed_id, row_no, internal_id, COUNT(*) OVER (PARTITION BY internal_id) AS keys_of_id
            FROM {plan} WHERE load_id = %(load_id)s AND fence = %(fence)s AND action = 'insert'
        ) planned
        WHERE keys_of_id > 1
    ) reasons
    GROUP BY hashed_id, row_no
) contested
STRAIGHT_JOIN {staging} s ON s.load_id = %(load_id)s AND s.run = %(staged_run)s
    AND s.hashed_id = contested.hashed_id AND s.row_no = contested.row_no

-- name: is_id_taken
-- Whether any key of any partner has this id, or is about to get it.
SELECT EXISTS (SELECT 1 FROM {production} WHERE {id} = %(internal_id)s)
    OR EXISTS (
        SELECT 1 FROM identity_collision
        WHERE entity = '{entity}' AND internal_id = %(internal_id)s
    )
    OR EXISTS (
        SELECT 1 FROM {plan}
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
UPDATE {plan} SET internal_id = %(internal_id)s
WHERE load_id = %(load_id)s AND fence = %(fence)s AND internal_id = %(contested_id)s
    AND row_no = %(row_no)s

-- name: yield_to_newer_load
-- For a late load: rows that a newer applied load has delivered, be it without a change.
UPDATE {plan} d
STRAIGHT_JOIN {staging} n ON n.load_id = %(newer_load)s AND n.run = %(newer_run)s
    AND n.hashed_id = d.internal_id
LEFT JOIN {plan} nd ON nd.load_id = %(newer_load)s AND nd.fence = %(newer_fence)s
    AND nd.hashed_id = n.hashed_id AND nd.row_no = n.row_no
SET d.action = 'stale'
WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s AND d.action IN ('update', 'unchanged')
    AND (nd.row_no IS NULL OR (nd.action <> 'reject' AND nd.internal_id = n.hashed_id))

-- name: yield_to_newer_ids
-- The same for what the newer load delivered under another id than the key's hash.
UPDATE {plan} d STRAIGHT_JOIN {plan} nd
    ON nd.load_id = %(newer_load)s AND nd.fence = %(newer_fence)s
    AND nd.internal_id = d.internal_id
SET d.action = 'stale'
WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s AND d.action IN ('update', 'unchanged')
    AND nd.internal_id <> nd.hashed_id AND nd.action <> 'reject'

-- name: yield_to_survivor
-- Of merged keys in one drop only one writes the row: the one that the id was made of, if there.
UPDATE (
    SELECT hashed_id, row_no,
        ROW_NUMBER() OVER (
            PARTITION BY internal_id ORDER BY hashed_id = internal_id DESC, row_no
        ) AS place
    FROM {plan}
    WHERE load_id = %(load_id)s AND fence = %(fence)s AND action <> 'reject'
) merged
STRAIGHT_JOIN {plan} d ON d.load_id = %(load_id)s AND d.fence = %(fence)s
    AND d.hashed_id = merged.hashed_id AND d.row_no = merged.row_no
SET d.action = 'unchanged'
WHERE merged.place > 1 AND d.action = 'update'
