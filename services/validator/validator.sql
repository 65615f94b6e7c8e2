-- name: add_file
-- A file as it was validated: what is loaded later is this generation or nothing.
INSERT INTO load_file (load_id, run, entity, name, generation, size_bytes, row_count, sha256)
VALUES (%(load_id)s, %(run)s, %(entity)s, %(name)s, %(generation)s, %(size_bytes)s,
    %(row_count)s, %(sha256)s);
