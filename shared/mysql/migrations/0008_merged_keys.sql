-- Whether a key of the source_system was given another key's id: only then is an id more than a hash.
ALTER TABLE source_gate ADD COLUMN has_merged_keys BOOLEAN NOT NULL DEFAULT FALSE;
