-- Whose turn it is: one upsert at a time for each source_system, older loads first.

-- name: has_gate
-- Whether the source_system has come before.
SELECT 1 FROM source_gate WHERE source_system = %(source_system)s

-- name: add_gate
-- The gate of a source_system that comes for the first time.
INSERT IGNORE INTO source_gate (source_system) VALUES (%(source_system)s)

-- name: take_gate
-- Held until the transaction ends; refused at once where another load holds it.
SELECT 1 FROM source_gate WHERE source_system = %(source_system)s FOR UPDATE NOWAIT

-- name: has_other_ids
-- Whether any key of the source_system was merged or has met a collision.
SELECT has_merged_keys OR EXISTS (
    SELECT 1 FROM identity_collision c WHERE c.source_system = %(source_system)s
) FROM source_gate WHERE source_system = %(source_system)s

-- name: advance_epoch
-- How many upserts of the source_system have committed, for who reads production; a worker of an
-- earlier version plans before it takes the gate, and sees by it whether its plan still holds.
UPDATE source_gate SET epoch = epoch + 1 WHERE source_system = %(source_system)s

-- name: sign_of_life
-- The connection still holds the gate, and is not too silent for the server.
DO 0

-- name: older_in_flight
-- The oldest load that is older than this one and has still to be applied or to fail.
SELECT load_id FROM load_ledger
WHERE source_system = %(source_system)s AND live_version < %(version)s
    AND state IN ('received', 'validated', 'staged')
ORDER BY live_version LIMIT 1

-- name: newer_applied
-- The loads that this one comes too late for. They are read here and bound later, for a joined
-- UPDATE would lock their ledger rows against their own workers.
SELECT load_id, applied_staged_run AS run, applied_fence AS fence FROM load_ledger
WHERE source_system = %(source_system)s AND version > %(version)s AND applied_fence IS NOT NULL
ORDER BY version
