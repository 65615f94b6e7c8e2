-- Notices to people and partners, on their way.

-- name: add
-- A notice to give; the same subject, run, channel and outcome is told once.
INSERT IGNORE INTO notification
    (subject, run, channel, outcome, bucket, body, written_at, next_attempt_at)
VALUES (%(subject)s, %(run)s, %(channel)s, %(outcome)s, %(bucket)s, %(body)s, NOW(6), NOW(6));

-- name: channels_due
-- The channels that have something to give.
SELECT DISTINCT channel FROM notification
WHERE delivered_at IS NULL AND next_attempt_at <= NOW(6) AND bucket = %(bucket)s;

-- name: next_due
-- The oldest notice of a channel that is due; without a lock, for a lock would hide others' notices.
-- (Where its outcome was written; converted, or the character sets would keep the key from use.)
SELECT notification_no, subject, run, outcome, body, attempts, (
    SELECT o.traceparent FROM outbox o WHERE o.load_id = CONVERT(notification.subject USING ascii)
        AND o.run = notification.run AND o.topic IN ('reported', 'failed') LIMIT 1) AS traceparent
FROM notification
WHERE delivered_at IS NULL AND next_attempt_at <= NOW(6) AND bucket = %(bucket)s
    AND channel = %(channel)s
ORDER BY notification_no LIMIT 1;

-- name: lease
-- Whose update this is may give it: nobody else takes it for a while; if this worker dies, somebody will.
UPDATE notification
SET attempts = attempts + 1, next_attempt_at = NOW(6) + INTERVAL %(lease_seconds)s SECOND
WHERE notification_no = %(notification_no)s AND attempts = %(attempts)s
    AND delivered_at IS NULL AND next_attempt_at <= NOW(6);

-- name: delivered
-- It was given.
UPDATE notification SET delivered_at = NOW(6), last_error = NULL
WHERE notification_no = %(notification_no)s;

-- name: not_delivered
-- It could not be given; it is tried again later, and shown until then. A later attempt is left be.
UPDATE notification
SET last_error = LEFT(%(error)s, 4000),
    next_attempt_at = NOW(6) + INTERVAL %(delay_seconds)s SECOND
WHERE notification_no = %(notification_no)s AND attempts = %(attempts)s AND delivered_at IS NULL;
