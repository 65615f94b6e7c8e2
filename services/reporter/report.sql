-- What the reporter reads, and the report that it leaves. {…} come from the contract.

-- name: read_ledger
-- What the report tells of the load itself.
SELECT load_id, source_system, run, state, schema_version, manifest, manifest_sha256, started_at,
    failed_run, failure_code, failure_message, failure_file, failure_row, failure_column,
    validated_run, applied_run, applied_staged_run, applied_fence, reported_run, warnings, NOW(6) AS finished_at,
    (SELECT MIN(e.happened_at) FROM load_event e
     WHERE e.load_id = load_ledger.load_id AND e.run = applied_run) AS applied_started_at
FROM load_ledger WHERE load_id = %(load_id)s;

-- name: read_files
-- The files as they were validated last, as of a run.
SELECT entity, name, row_count, sha256, size_bytes, generation FROM load_file
WHERE load_id = %(load_id)s
    AND run = (SELECT MAX(run) FROM load_file WHERE load_id = %(load_id)s AND run <= %(run)s);

-- name: read_counts
-- What a run did with each entity's rows.
SELECT entity, staged, inserted, updated, unchanged, stale, rejected FROM load_count
WHERE load_id = %(load_id)s AND run = %(run)s;

-- name: count_rejects
-- How many rejected rows of a run were kept, by code.
SELECT code, COUNT(*) AS kept FROM load_reject
WHERE load_id = %(load_id)s AND run = %(run)s GROUP BY code ORDER BY kept DESC, code;

-- name: count_standing
-- How many of the keys that the load's upsert accepted stand in production now: of all staged rows
-- those that have their key's hash as id, but of the planned ones those that have their own.
SELECT (
    SELECT COUNT(*) FROM {staging} s
    STRAIGHT_JOIN {production} p ON p.{id_column} = s.hashed_id
    WHERE s.load_id = %(load_id)s AND s.run = %(staged_run)s
) - (
    SELECT COUNT(*) FROM {plan} d STRAIGHT_JOIN {production} p ON p.{id_column} = d.hashed_id
    WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s
) + (
    SELECT COUNT(*) FROM {plan} d
    STRAIGHT_JOIN {production} p ON p.{id_column} = d.internal_id
    WHERE d.load_id = %(load_id)s AND d.fence = %(fence)s AND d.action <> 'reject'
);

-- name: store
-- The report of a run; a redelivered run writes the same one again.
INSERT INTO load_report (load_id, run, report, reported_at)
VALUES (%(load_id)s, %(run)s, %(report)s, NOW(6)) AS new
ON DUPLICATE KEY UPDATE report = new.report, reported_at = new.reported_at;
