-- What waits in the database, for the metrics.

-- name: loads
-- How many loads stand at each milestone.
SELECT state, COUNT(*) AS loads FROM load_ledger GROUP BY state;

-- name: waiting
-- What still has to be done for one bucket, and since when the oldest of it waits.
SELECT NOW(6) AS now,
    (SELECT COUNT(*) FROM load_ledger WHERE bucket = %(bucket)s AND needs_attention)
        AS needing_attention,
    (SELECT MIN(started_at) FROM load_ledger WHERE bucket = %(bucket)s
        AND (state IN ('received', 'validated', 'staged', 'upserted')
            OR (failed_run = run AND COALESCE(reported_run, 0) < run))) AS oldest_load,
    (SELECT MIN(created_at) FROM outbox WHERE bucket = %(bucket)s AND published_at IS NULL)
        AS oldest_event,
    (SELECT COUNT(*) FROM arrival WHERE bucket = %(bucket)s
        AND verdict IN ('noticed', 'pending')) AS arrivals_pending;
