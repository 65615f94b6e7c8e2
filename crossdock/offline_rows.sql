-- What a check knows of a drop's rows, in SQLite: a table for each file, filled and then judged as
-- a whole. {rows} and {parent} are entities' tables.

-- name: create_rows
-- The rows in the order of the file, so that row_no counts them from 1. One with a code is rejected,
-- or, where it is unresolved, would be if its parent, or its parent's, stood in no earlier load.
CREATE TABLE {rows} (
    row_no INTEGER PRIMARY KEY,
    source_key TEXT NOT NULL,
    parent_key TEXT,
    code TEXT,
    column_name TEXT,
    unresolved INTEGER NOT NULL DEFAULT 0
);

-- name: add_row
-- The next row, with what is wrong with it by itself.
INSERT INTO {rows} (source_key, parent_key, code, column_name) VALUES (?, ?, ?, ?);

-- name: index_keys
-- Built once all rows are there: sorting them is quicker than keeping them in order.
CREATE INDEX {by_key} ON {rows} (source_key);

-- name: reject_copies
-- All copies of a key that stands twice, faulty ones counted, but for rows with an earlier code.
UPDATE {rows} SET code = 'row.duplicate_key', column_name = :column
WHERE code IS NULL AND source_key IN (
    SELECT source_key FROM {rows} GROUP BY source_key HAVING COUNT(*) > 1
);

-- name: lose_parents
-- The rows of rejected parents or, asked so, of unresolved ones, but for those with an earlier code.
UPDATE {rows}
SET code = 'row.parent_rejected', column_name = :column, unresolved = :unresolved
WHERE code IS NULL AND parent_key IN (
    SELECT source_key FROM {parent} WHERE code IS NOT NULL AND unresolved = :unresolved
);

-- name: find_orphans
-- The other rows whose parent is not in the drop; in groups they come in the order of the index.
UPDATE {rows} SET code = 'row.orphan', column_name = :column, unresolved = 1
WHERE code IS NULL AND parent_key IN (
    SELECT parent_key FROM (
        SELECT parent_key FROM {rows} WHERE code IS NULL GROUP BY parent_key
    ) child
    WHERE NOT EXISTS (SELECT 1 FROM {parent} WHERE source_key = child.parent_key)
);

-- name: count_rows
-- How many there are, how many of them are rejected, and how many unresolved.
SELECT COUNT(*), COUNT(code) - COALESCE(SUM(unresolved), 0), COALESCE(SUM(unresolved), 0)
FROM {rows};

-- name: first_refused
-- The first rows that are rejected or, asked so, unresolved; of a key that is far too long, its
-- beginning.
SELECT row_no, substr(source_key, 1, :most_characters), code, column_name
FROM {rows} WHERE code IS NOT NULL AND unresolved = :unresolved ORDER BY row_no LIMIT :most;

-- name: first_copies
-- The first rows that have the same key as this one, this one among them.
SELECT row_no FROM {rows}
WHERE source_key = (SELECT source_key FROM {rows} WHERE row_no = :row_no)
ORDER BY row_no LIMIT :most;

-- name: count_copies
-- How many rows have the same key as this one, this one counted.
SELECT COUNT(*) FROM {rows}
WHERE source_key = (SELECT source_key FROM {rows} WHERE row_no = :row_no);
