-- What is written in the one transaction, parents first; unchanged rows are not touched.
-- {...} come from the contract.

-- name: insert_keys
-- The keys of new rows, for their children and for later loads; only for entities with children.
INSERT INTO {crosswalk_keys} (source_system, source_key, internal_id, first_seen_load_id)
SELECT %(source_system)s, s.{key}, d.internal_id, d.load_id
FROM {delivered} d STRAIGHT_JOIN {staging} s
    ON s.load_id = d.load_id AND s.run = %(staged_run)s AND s.row_no = d.row_no
WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s AND d.action = 'insert'
ON DUPLICATE KEY UPDATE internal_id = d.internal_id

-- name: move_first_seen
-- For a late load: keys that were first seen in a newer load were first seen in this one.
UPDATE {delivered} d
STRAIGHT_JOIN {staging} s
    ON s.load_id = d.load_id AND s.run = %(staged_run)s AND s.row_no = d.row_no
STRAIGHT_JOIN {crosswalk_keys} k
    ON k.source_system = %(source_system)s AND k.source_key = s.{key}
SET k.first_seen_load_id = %(load_id)s
WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s AND k.first_seen_load_id IN %(newer_loads)s

-- name: insert_rows
-- The rows that production does not have.
INSERT INTO {production}
    ({columns}, source_system, source_version, first_load_id, last_load_id)
SELECT {values}, %(source_system)s, %(version)s, d.load_id, d.load_id
FROM {delivered} d STRAIGHT_JOIN {staging} s
    ON s.load_id = d.load_id AND s.run = %(staged_run)s AND s.row_no = d.row_no
WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s AND d.action = 'insert'

-- name: update_rows
-- The rows whose values or parent differ.
UPDATE {delivered} d
STRAIGHT_JOIN {staging} s
    ON s.load_id = d.load_id AND s.run = %(staged_run)s AND s.row_no = d.row_no
STRAIGHT_JOIN {production} p ON p.{id} = d.internal_id
SET {assignments}, p.source_version = %(version)s, p.last_load_id = %(load_id)s
WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s AND d.action = 'update'

-- name: count_standing
-- How many accepted rows stand in production as they must: written rows with this load's version.
SELECT COUNT(*) FROM {delivered} d STRAIGHT_JOIN {production} p ON p.{id} = d.internal_id
WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s AND CASE
    WHEN d.action = 'stale' THEN TRUE
    WHEN d.action = 'unchanged' THEN p.source_version <= %(version)s
    ELSE p.source_version = %(version)s AND p.last_load_id = %(load_id)s
END

-- name: record_counts
-- What this run did with each row that was staged.
INSERT INTO load_count
    (load_id, run, entity, staged, inserted, updated, unchanged, stale, rejected)
VALUES (%(load_id)s, %(run)s, '{entity}', %(staged)s, %(inserted)s, %(updated)s, %(unchanged)s,
    %(stale)s, %(rejected)s) AS told
ON DUPLICATE KEY UPDATE staged = told.staged, inserted = told.inserted, updated = told.updated,
    unchanged = told.unchanged, stale = told.stale, rejected = told.rejected
