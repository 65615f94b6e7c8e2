-- What is written in the one transaction, parents first; unchanged rows are not touched. What most
-- rows are to have done with them is done from staging, the rest from the plan. Beside it helpers
-- count what stands.
-- {...} come from the contract.

-- name: insert_keys
-- The keys of new rows, for their children and for later loads; only for entities with children.
INSERT INTO {crosswalk_keys}
    (hashed_id, source_system, source_key, internal_id, first_seen_load_id)
SELECT d.hashed_id, %(source_system)s, s.{key}, d.internal_id, d.load_id
FROM {plan} d STRAIGHT_JOIN {staging} s ON s.load_id = d.load_id AND s.run = %(staged_run)s
    AND s.hashed_id = d.hashed_id AND s.row_no = d.row_no
WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s AND d.action = 'insert'
ON DUPLICATE KEY UPDATE internal_id = d.internal_id

-- name: insert_expected_keys
-- The same of all rows of a piece that are not planned otherwise.
INSERT INTO {crosswalk_keys}
    (hashed_id, source_system, source_key, internal_id, first_seen_load_id)
SELECT s.hashed_id, %(source_system)s, s.{key}, {own_hash}, %(load_id)s
FROM {staging} s
WHERE s.load_id = %(load_id)s AND s.run = %(staged_run)s
    AND s.hashed_id BETWEEN %(first_hash)s AND %(last_hash)s AND {is_not_planned}
ON DUPLICATE KEY UPDATE internal_id = {own_hash}

-- name: move_first_seen
-- For a late load: keys that were first seen in a newer load were first seen in this one.
UPDATE {plan} d
STRAIGHT_JOIN {staging} s ON s.load_id = d.load_id AND s.run = %(staged_run)s
    AND s.hashed_id = d.hashed_id AND s.row_no = d.row_no
STRAIGHT_JOIN {crosswalk_keys} k ON k.hashed_id = d.hashed_id
    AND k.source_system = %(source_system)s AND k.source_key = s.{key}
SET k.first_seen_load_id = %(load_id)s
WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s AND d.action <> 'reject'
    AND k.first_seen_load_id IN %(newer_loads)s

-- name: insert_rows
-- The rows that production does not have.
INSERT INTO {production}
    ({columns}, source_system, source_version, first_load_id, last_load_id)
SELECT {planned_values}, %(source_system)s, %(version)s, d.load_id, d.load_id
FROM {plan} d STRAIGHT_JOIN {staging} s ON s.load_id = d.load_id AND s.run = %(staged_run)s
    AND s.hashed_id = d.hashed_id AND s.row_no = d.row_no
WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s AND d.action = 'insert'

-- name: insert_expected_rows
-- The same of all rows of a piece that are not planned otherwise.
INSERT INTO {production}
    ({columns}, source_system, source_version, first_load_id, last_load_id)
SELECT {expected_values}, %(source_system)s, %(version)s, %(load_id)s, %(load_id)s
FROM {staging} s
WHERE s.load_id = %(load_id)s AND s.run = %(staged_run)s
    AND s.hashed_id BETWEEN %(first_hash)s AND %(last_hash)s AND {is_not_planned}

-- name: update_rows
-- The rows whose values or parent differ.
UPDATE {plan} d
STRAIGHT_JOIN {staging} s ON s.load_id = d.load_id AND s.run = %(staged_run)s
    AND s.hashed_id = d.hashed_id AND s.row_no = d.row_no
STRAIGHT_JOIN {production} p ON p.{id} = d.internal_id
SET {assignments}, p.source_version = %(version)s, p.last_load_id = %(load_id)s
WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s AND d.action = 'update'

-- name: count_planned
-- How many accepted rows of the plan stand in production as they must, written rows with this
-- load's version.
SELECT COUNT(*) FROM {plan} d STRAIGHT_JOIN {production} p ON p.{id} = d.internal_id
WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s AND CASE d.action
    WHEN 'reject' THEN FALSE
    WHEN 'stale' THEN TRUE
    WHEN 'unchanged' THEN p.source_version <= %(version)s
    ELSE p.source_version = %(version)s AND p.last_load_id = %(load_id)s
END

-- name: see_what_is_written
-- The next statement sees what another connection has written and not yet committed.
SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED

-- name: count_inserted
-- How many of all staged rows of a piece stand as if they were inserted; not COUNT(*), as in `survey`.
SELECT COUNT(s.{key}) FROM {staging} s STRAIGHT_JOIN {production} p ON p.{id} = {own_hash}
WHERE s.load_id = %(load_id)s AND s.run = %(staged_run)s
    AND s.hashed_id BETWEEN %(first_hash)s AND %(last_hash)s
    AND p.source_version = %(version)s AND p.last_load_id = %(load_id)s

-- name: count_planned_inserted
-- The same of the planned ones, which are not to be counted so.
SELECT COUNT(*) FROM {plan} d STRAIGHT_JOIN {production} p ON p.{id} = {planned_hash}
WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s
    AND p.source_version = %(version)s AND p.last_load_id = %(load_id)s

-- name: count_unchanged
-- How many of all staged rows of a piece stand as if they were to stay as they are; not COUNT(*), as
-- in `survey`.
SELECT COUNT(s.{key}) FROM {staging} s STRAIGHT_JOIN {production} p ON p.{id} = {own_hash}
WHERE s.load_id = %(load_id)s AND s.run = %(staged_run)s
    AND s.hashed_id BETWEEN %(first_hash)s AND %(last_hash)s
    AND p.source_version <= %(version)s

-- name: count_planned_unchanged
-- The same of the planned ones.
SELECT COUNT(*) FROM {plan} d STRAIGHT_JOIN {production} p ON p.{id} = {planned_hash}
WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s AND p.source_version <= %(version)s

-- name: record_counts
-- What this run did with each row that was staged.
INSERT INTO load_count
    (load_id, run, entity, staged, inserted, updated, unchanged, stale, rejected)
VALUES (%(load_id)s, %(run)s, '{entity}', %(staged)s, %(inserted)s, %(updated)s, %(unchanged)s,
    %(stale)s, %(rejected)s) AS told
ON DUPLICATE KEY UPDATE staged = told.staged, inserted = told.inserted, updated = told.updated,
    unchanged = told.unchanged, stale = told.stale, rejected = told.rejected
