-- What recovery looks for.

-- name: loads_at_rest
-- Loads that are not at their end and that no live worker holds: candidates for a new message,
-- unless it has still to go out. One whose event was deleted has waited since its last change.
SELECT l.*, NOW(6) AS now, COALESCE(o.published_at, l.updated_at) AS waits_since
FROM load_ledger l
LEFT JOIN outbox o ON o.load_id = l.load_id AND o.run = l.run
    AND o.topic = CASE
        WHEN l.failed_run = l.run THEN 'failed'
        WHEN l.state = 'received' THEN 'manifest.arrived'
        WHEN l.state = 'validated' THEN 'manifest.validated'
        ELSE l.state END
WHERE l.bucket = %(bucket)s AND NOT l.needs_attention
    AND (o.event_id IS NULL OR o.published_at IS NOT NULL)
    AND (l.lease_until IS NULL OR l.lease_until <= NOW(6))
    AND (l.state IN ('received', 'validated', 'staged', 'upserted')
        OR (l.failed_run = l.run AND COALESCE(l.reported_run, 0) < l.run));

-- name: take_load
-- One of them, held while it is woken; none where somebody holds it or has claimed it meanwhile.
SELECT fence FROM load_ledger
WHERE load_id = %(load_id)s AND fence = %(fence)s FOR UPDATE SKIP LOCKED;

-- name: forget_next_attempt
-- The message that was due is on its way; if it is lost, the next sweep waits a lease for it.
UPDATE load_ledger SET next_attempt_at = NULL WHERE load_id = %(load_id)s AND fence = %(fence)s;

-- name: known_generations
-- The manifest generations that have been noticed.
SELECT object, generation FROM arrival WHERE bucket = %(bucket)s;

-- name: arrivals_to_look_at
-- Arrivals that waited for a run which has ended, or whose first reader died.
SELECT a.object, a.generation FROM arrival a LEFT JOIN load_ledger l ON l.load_id = a.load_id
WHERE a.bucket = %(bucket)s AND (
    (a.verdict = 'pending' AND (l.state = 'failed' OR l.applied_run IS NOT NULL))
    OR (a.verdict = 'noticed' AND a.noticed_at < NOW(6) - INTERVAL %(lease_seconds)s SECOND));
