-- The rows that are refused, each told with its reason.
-- {...} come from the contract.

-- name: forget_rejects
-- A new attempt of this run tells of its rejects anew.
DELETE FROM load_reject WHERE load_id = %(load_id)s AND run = %(run)s

-- name: refused_rows
-- The first refused rows of a file, each with all that its code and message follow from.
WITH refused AS (
    SELECT d.row_no, ({violation}) AS violation,
        {parent_was_refused} AS parent_was_refused,
        COUNT(*) OVER same_key AS copies,
        MIN(d.row_no) OVER same_key AS first_copy,
        ROW_NUMBER() OVER (same_key ORDER BY d.row_no) AS place
    FROM {plan} d STRAIGHT_JOIN {staging} s ON s.load_id = %(load_id)s
        AND s.run = %(staged_run)s AND s.hashed_id = d.hashed_id AND s.row_no = d.row_no
    WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s AND d.action = 'reject'
    WINDOW same_key AS (PARTITION BY d.hashed_id, s.{key})
), copied AS (
    SELECT first_copy, GROUP_CONCAT(row_no ORDER BY row_no) AS row_numbers
    FROM refused WHERE copies > 1 AND place <= %(most_copies)s GROUP BY first_copy
)
SELECT r.row_no, r.violation, r.parent_was_refused, r.copies, c.row_numbers
FROM refused r LEFT JOIN copied c ON c.first_copy = r.first_copy
ORDER BY r.row_no LIMIT %(most)s

-- name: record_reject
-- One refused row with its reason.
INSERT INTO load_reject
    (load_id, run, entity, row_no, source_key, code, column_name, message, raw)
VALUES (%(load_id)s, %(run)s, %(entity)s, %(row_no)s, %(source_key)s, %(code)s, %(column)s,
    %(message)s, %(raw)s)

-- name: quote_rejects
-- The rows' own text, copied within the database: the key, and the fields as one CSV record.
UPDATE {plan} d
STRAIGHT_JOIN load_reject r ON r.load_id = %(load_id)s AND r.run = %(run)s
    AND r.entity = '{entity}' AND r.row_no = d.row_no
STRAIGHT_JOIN {staging} s ON s.load_id = %(load_id)s AND s.run = %(staged_run)s
    AND s.hashed_id = d.hashed_id AND s.row_no = d.row_no
SET r.source_key = COALESCE(s.{key}, ''), r.raw = {raw}
WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s AND d.action = 'reject'

-- name: record_refused_load
-- What a load that was refused for its rejects brought; what would have been done is not known.
INSERT INTO load_count (load_id, run, entity, staged, rejected)
VALUES (%(load_id)s, %(run)s, '{entity}', %(staged)s, %(rejected)s) AS told
ON DUPLICATE KEY UPDATE staged = told.staged, inserted = NULL, updated = NULL,
    unchanged = NULL, stale = NULL, rejected = told.rejected

-- name: first_reject
-- Where the partner begins to look.
SELECT row_no AS `row`, column_name AS `column` FROM load_reject
WHERE load_id = %(load_id)s AND run = %(run)s AND entity = '{entity}' ORDER BY row_no LIMIT 1
