-- How files come into staging. {staging} and {columns} come from the contract.

-- name: clear_run
-- A restart begins anew: what an earlier attempt of this run had staged goes, a piece at a time.
DELETE FROM {staging} WHERE load_id = %(load_id)s AND run = %(run)s LIMIT %(most)s;

-- name: load_file
-- One file in the canonical dialect; LOCAL turns errors into warnings, so the caller counts.
LOAD DATA LOCAL INFILE %(stream)s INTO TABLE {staging} CHARACTER SET utf8mb4
FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '"' ESCAPED BY '' LINES TERMINATED BY '\n'
({columns}) SET load_id = %(load_id)s, run = %(run)s;

-- name: read_files
-- The files as the validator pinned them.
SELECT entity, name, generation, size_bytes, row_count, sha256 FROM load_file
WHERE load_id = %(load_id)s AND run = %(run)s;

-- name: add_count
-- How many rows of an entity this run staged.
INSERT INTO load_count (load_id, run, entity, staged)
VALUES (%(load_id)s, %(run)s, %(entity)s, %(staged)s) AS new
ON DUPLICATE KEY UPDATE staged = new.staged;
