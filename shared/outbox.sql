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
-- A few events that still have to go out, passing over those that another process has in hand.
SELECT event_id, topic, body, traceparent FROM outbox
WHERE published_at IS NULL AND bucket = %(bucket)s
ORDER BY created_at LIMIT %(most)s FOR UPDATE SKIP LOCKED;

-- name: mark_published
-- The bus has it.
UPDATE outbox SET published_at = NOW(6) WHERE event_id = %(event_id)s;

-- name: rearm
-- Send the event of a load's next stage again, with the event_id that it has.
UPDATE outbox SET published_at = NULL
WHERE load_id = %(load_id)s AND run = %(run)s AND topic = %(topic)s;
