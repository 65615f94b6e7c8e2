-- Events on their way out, and loads that have to be woken.

-- name: add
-- An event of the transaction's own work; the same milestone of the same run has one event.
INSERT INTO outbox
    (event_id, bucket, load_id, source_system, run, topic, body, created_at, published_at,
    traceparent)
VALUES (%(event_id)s, %(bucket)s, %(load_id)s, %(source_system)s, %(run)s, %(topic)s, %(body)s,
    NOW(6), IF(%(is_published)s, NOW(6), NULL), %(traceparent)s)
ON DUPLICATE KEY UPDATE published_at = IF(%(is_published)s, published_at, NULL);

-- name: unpublished
-- The events that still have to go out, oldest first; nothing is locked, for the list may be long.
SELECT event_id, topic FROM outbox
WHERE published_at IS NULL AND bucket = %(bucket)s
ORDER BY created_at;

-- name: take
-- One of them, held until it is marked; none where another process has it in hand or has sent it.
SELECT topic, body, traceparent FROM outbox
WHERE event_id = %(event_id)s AND published_at IS NULL FOR UPDATE SKIP LOCKED;

-- name: mark_published
-- The bus has it.
UPDATE outbox SET published_at = NOW(6) WHERE event_id = %(event_id)s;

-- name: event_of
-- The event of a milestone, if it was not deleted.
SELECT event_id FROM outbox WHERE load_id = %(load_id)s AND run = %(run)s AND topic = %(topic)s;

-- name: free_event_of
-- The same, held; none where another process is sending it, for nobody may wait for the bus here.
-- (A locking read of its own: inside an UPDATE, SKIP LOCKED is ignored.)
SELECT event_id FROM outbox WHERE load_id = %(load_id)s AND run = %(run)s AND topic = %(topic)s
FOR UPDATE SKIP LOCKED;

-- name: rearm
-- Send an event again, with the event_id that it has.
UPDATE outbox SET published_at = NULL WHERE event_id = %(event_id)s;
