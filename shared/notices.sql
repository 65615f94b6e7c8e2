-- Notices to people and partners, on their way.

-- name: add
-- A notice to give; the same subject, run, channel and outcome is told once.
INSERT IGNORE INTO notification
    (subject, run, channel, outcome, bucket, body, next_attempt_at)
VALUES (%(subject)s, %(run)s, %(channel)s, %(outcome)s, %(bucket)s, %(body)s, NOW(6));

-- name: take_due
-- One notice that is due, passing over those that another process has in hand.
SELECT notification_no, subject, run, channel, outcome, body, attempts FROM notification
WHERE delivered_at IS NULL AND next_attempt_at <= NOW(6) AND bucket = %(bucket)s
ORDER BY notification_no LIMIT 1 FOR UPDATE SKIP LOCKED;

-- name: lease
-- Nobody else takes it for a while; if this worker dies, somebody will.
UPDATE notification
SET attempts = attempts + 1, next_attempt_at = NOW(6) + INTERVAL %(lease_seconds)s SECOND
WHERE notification_no = %(notification_no)s;

-- name: delivered
-- It was given.
UPDATE notification SET delivered_at = NOW(6), last_error = NULL
WHERE notification_no = %(notification_no)s;

-- name: not_delivered
-- It could not be given; it is tried again later, and shown until then.
UPDATE notification
SET last_error = LEFT(%(error)s, 4000),
    next_attempt_at = NOW(6) + INTERVAL %(delay_seconds)s SECOND
WHERE notification_no = %(notification_no)s;
