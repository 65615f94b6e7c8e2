-- How a manifest that was noticed becomes a load, a new run of one, or a line of history.

-- name: notice
-- The first sight of a manifest generation; a later notification of the same changes nothing.
INSERT INTO arrival (bucket, object, generation, verdict, load_id, noticed_at)
VALUES (%(bucket)s, %(object)s, %(generation)s, 'noticed', %(load_id)s, NOW(6))
ON DUPLICATE KEY UPDATE bucket = bucket;

-- name: look_again
-- A manifest whose load failed before it could be checked any further is judged anew.
UPDATE arrival JOIN load_ledger l USING (load_id, bucket, generation) SET verdict = 'pending'
WHERE arrival.bucket = %(bucket)s AND object = %(object)s
    AND arrival.generation = %(generation)s AND verdict = 'taken' AND l.state = 'failed' AND l.reached IS NULL;

-- name: lock_arrival
-- The arrival, held against another delivery of the same notification, and the time.
SELECT verdict, run, NOW(6) AS now FROM arrival
WHERE bucket = %(bucket)s AND object = %(object)s AND generation = %(generation)s FOR UPDATE;

-- name: decide
-- What became of the arrival.
UPDATE arrival
SET verdict = %(verdict)s, run = %(run)s, manifest_sha256 = %(manifest_sha256)s,
    failure_code = %(failure_code)s, failure_message = %(failure_message)s, decided_at = NOW(6)
WHERE bucket = %(bucket)s AND object = %(object)s AND generation = %(generation)s;

-- name: same_version
-- Another load of this source_system with the same created_at, failed ones aside.
SELECT load_id FROM load_ledger
WHERE source_system = %(source_system)s AND live_version = %(version)s AND load_id <> %(load_id)s;

-- name: new_load
-- The first run of a load, or the record of one that failed at its manifest.
INSERT INTO load_ledger
    (load_id, source_system, partner, bucket, prefix, state, reached, run, owned, generation,
    manifest, manifest_sha256, schema_version, created_at, version, failed_run, failure_code,
    failure_message, failure_file, failure_row, failure_column, received_at, started_at, updated_at)
VALUES (%(load_id)s, %(source_system)s, %(partner)s, %(bucket)s, %(prefix)s, %(state)s,
    %(reached)s, 1, %(owned)s, %(generation)s, %(manifest)s, %(manifest_sha256)s,
    %(schema_version)s, %(created_at)s, %(version)s, IF(%(state)s = 'failed', 1, NULL), %(code)s,
    %(message)s, %(file)s, %(row)s, %(column)s, NOW(6), NOW(6), NOW(6));

-- name: new_run
-- Another run of a load that failed and was never applied, with the manifest that came now.
UPDATE load_ledger
SET source_system = %(source_system)s, partner = %(partner)s, bucket = %(bucket)s,
    prefix = %(prefix)s, state = %(state)s, reached = %(reached)s, run = run + 1,
    fence = fence + 1, owned = owned OR %(owned)s, generation = %(generation)s,
    manifest = %(manifest)s, manifest_sha256 = %(manifest_sha256)s,
    schema_version = %(schema_version)s, created_at = %(created_at)s, version = %(version)s,
    failed_run = IF(%(state)s = 'failed', run, NULL), failure_code = %(code)s,
    failure_message = %(message)s, failure_file = %(file)s, failure_row = %(row)s,
    failure_column = %(column)s, attempts = 0, next_attempt_at = NULL, needs_attention = FALSE,
    waiting_since = NULL, waiting_for = NULL, waiting_for_since = NULL, last_error = NULL,
    warnings = NULL, lease_owner = NULL, lease_until = NULL, started_at = NOW(6), updated_at = NOW(6)
WHERE load_id = %(load_id)s;
