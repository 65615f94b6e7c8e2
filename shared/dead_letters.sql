-- What no stage could take, and what belongs to no load.

-- name: lock_letter
-- The letter that holds this very thing already, against others who bring it at the same time.
SELECT letter_no, delivery_key FROM dead_letter WHERE digest = %(digest)s FOR UPDATE;

-- name: count_of_a_day
-- How many letters of a kind are new since yesterday at this hour.
SELECT COUNT(*) FROM dead_letter
WHERE kind = %(kind)s AND first_seen > NOW(6) - INTERVAL 1 DAY;

-- name: keep
-- A new letter, or one more coming of a known one, which then waits for a person again.
INSERT INTO dead_letter
    (kind, digest, subscription, topic, published_at, data, size_bytes, attributes, reason,
    load_id, delivery_key, first_seen, last_seen)
VALUES (%(kind)s, %(digest)s, %(subscription)s, %(topic)s, %(published_at)s, %(data)s,
    %(size_bytes)s, %(attributes)s, LEFT(%(reason)s, 4000), %(load_id)s, %(delivery_key)s,
    NOW(6), NOW(6)) AS coming
ON DUPLICATE KEY UPDATE
    times = dead_letter.times + 1, kind = coming.kind, published_at = coming.published_at,
    reason = coming.reason, delivery_key = coming.delivery_key, last_seen = coming.last_seen,
    data = coming.data, attributes = coming.attributes, redriven_at = NULL;

-- name: what_is_known
-- A load's last fault, and the last line that the deliveries of one message left in its history.
SELECT l.last_error, (
    SELECT e.kind FROM load_event e
    WHERE e.load_id = l.load_id
        AND LEFT(e.delivery_key, CHAR_LENGTH(%(key_start)s)) = %(key_start)s
        AND RIGHT(e.delivery_key, CHAR_LENGTH(%(key_end)s)) = %(key_end)s
    ORDER BY e.event_no DESC LIMIT 1) AS last_kind
FROM load_ledger l WHERE l.load_id = %(load_id)s;

-- name: letters_that_may_wait
-- The letters of the last days that have not been published again.
SELECT letter_no, kind, topic, attributes, load_id, last_seen, redriven_at, NOW(6) AS now,
    LEFT(data, %(most_bytes)s) AS beginning
FROM dead_letter
WHERE redriven_at IS NULL AND last_seen > NOW(6) - INTERVAL %(days)s DAY ORDER BY letter_no;

-- name: is_decided
-- Whether it was decided what becomes of a manifest.
SELECT COUNT(*) FROM arrival
WHERE bucket = %(bucket)s AND object = %(object)s AND generation = %(generation)s
    AND verdict NOT IN ('noticed', 'pending');
