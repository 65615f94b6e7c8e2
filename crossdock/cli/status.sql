-- What an operator asks of the ledger. All times are UTC.

-- name: list_loads
-- Loads as a list shows them: those that need attention, those under way, those that failed and
-- were not told yet, then all others; of each the newest first.
SELECT load_id, source_system, partner, bucket, prefix, state, run, lease_owner, lease_until,
    attempts, last_error, next_attempt_at, needs_attention, waiting_since, failed_run, applied_run,
    failure_code, failure_message, failure_file, failure_row, failure_column, schema_version,
    created_at, received_at, started_at, updated_at, NOW(6) AS now,
    (SELECT JSON_EXTRACT(r.report, '$.reconciled') = CAST('true' AS JSON) FROM load_report r
     WHERE r.load_id = load_ledger.load_id AND r.run = reported_run) AS reconciled
FROM load_ledger
ORDER BY CASE
    WHEN needs_attention THEN 0
    WHEN state NOT IN ('reported', 'failed') THEN 1
    WHEN failed_run = run AND COALESCE(reported_run, 0) < run THEN 2
    ELSE 3 END, received_at DESC, load_id
LIMIT %(most)s;

-- name: count_loads
-- How many loads stand where, and how many of them need attention.
SELECT state, COUNT(*) AS loads, SUM(needs_attention) AS needing_attention
FROM load_ledger GROUP BY state;

-- name: count_messages_for_unknown_loads
-- How many messages of the last 24 hours named a load that does not exist, as far as the newest
-- lines of all histories go back.
SELECT COUNT(*) FROM (
    SELECT kind, happened_at FROM load_event ORDER BY event_no DESC LIMIT %(most)s) newest
WHERE kind = 'unknown_load' AND happened_at > NOW(6) - INTERVAL 1 DAY;

-- name: read_load
-- One load, with what a list has no room for.
SELECT load_id, source_system, partner, bucket, prefix, state, run, lease_owner, lease_until,
    attempts, last_error, next_attempt_at, needs_attention, waiting_since, failed_run, applied_run,
    failure_code, failure_message, failure_file, failure_row, failure_column, schema_version,
    created_at, received_at, started_at, updated_at, warnings, validated_run, NOW(6) AS now,
    (SELECT JSON_EXTRACT(r.report, '$.reconciled') = CAST('true' AS JSON) FROM load_report r
     WHERE r.load_id = load_ledger.load_id AND r.run = reported_run) AS reconciled
FROM load_ledger WHERE load_id = %(load_id)s;

-- name: list_refused
-- The newest manifests that were refused; they have no load of their own.
SELECT bucket, object, generation, load_id, verdict, failure_code, failure_message, noticed_at
FROM arrival WHERE verdict = 'refused' ORDER BY noticed_at DESC LIMIT %(most)s;

-- name: list_dead_channels
-- Channels that failed at a notice which is still to be given, with all that they have left.
SELECT n.channel, COUNT(*) AS notices, MIN(n.written_at) AS since,
    (SELECT e.last_error FROM notification e
     WHERE e.channel = n.channel AND e.delivered_at IS NULL AND e.last_error IS NOT NULL
     ORDER BY e.notification_no DESC LIMIT 1) AS last_error
FROM notification n WHERE n.delivered_at IS NULL
GROUP BY n.channel HAVING COUNT(n.last_error) > 0 ORDER BY n.channel;

-- name: list_arrivals
-- Every manifest that arrived for a load, and what became of it.
SELECT bucket, object, generation, load_id, verdict, failure_code, failure_message, noticed_at
FROM arrival WHERE load_id = %(load_id)s ORDER BY noticed_at;

-- name: read_arrival
-- What became of one manifest.
SELECT bucket, object, generation, load_id, verdict, failure_code, failure_message, noticed_at
FROM arrival
WHERE bucket = %(bucket)s AND object = %(object)s AND generation = %(generation)s;

-- name: list_milestones
-- When each run of each stage ended, and how.
SELECT run, stage, kind, happened_at FROM load_event
WHERE load_id = %(load_id)s AND kind IN ('finished', 'failed') ORDER BY event_no;

-- name: list_history
-- The newest lines of a load's history, the newest first.
SELECT run, stage, kind, detail, happened_at FROM load_event
WHERE load_id = %(load_id)s ORDER BY event_no DESC LIMIT %(most)s;

-- name: list_files
-- The files of a run as they were validated.
SELECT entity, name, row_count, sha256, size_bytes, generation FROM load_file
WHERE load_id = %(load_id)s AND run = %(run)s;

-- name: list_counts
-- What the newest run that counted rows did with each entity's.
SELECT run, entity, staged, inserted, updated, unchanged, stale, rejected FROM load_count
WHERE load_id = %(load_id)s
    AND run = (SELECT MAX(run) FROM load_count WHERE load_id = %(load_id)s);

-- name: count_rejects
-- How many rejected rows of a run were kept, by code.
SELECT code, COUNT(*) AS kept FROM load_reject
WHERE load_id = %(load_id)s AND run = %(run)s GROUP BY code ORDER BY kept DESC, code;

-- name: latest_report
-- The report of the newest run that has one.
SELECT report FROM load_report WHERE load_id = %(load_id)s ORDER BY run DESC LIMIT 1;
