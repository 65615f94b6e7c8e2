-- What an operator asks of the letters that wait, and does with them. All times are UTC.

-- name: list_letters
-- The letters that came last, and how far their loads have come since.
SELECT d.letter_no, d.kind, d.subscription, d.topic, d.attributes, d.load_id,
    l.state AS load_state, d.reason, d.times, d.published_at, d.first_seen, d.last_seen,
    d.redriven_at, d.size_bytes, NOW(6) AS now, LEFT(d.data, %(most_bytes)s) AS beginning
FROM dead_letter d
LEFT JOIN load_ledger l ON l.load_id = CONVERT(d.load_id USING ascii) AND l.load_id = d.load_id
ORDER BY d.last_seen DESC, d.letter_no DESC LIMIT %(most)s;

-- name: count_letters
-- How many letters there are.
SELECT COUNT(*) FROM dead_letter;

-- name: lock_letter
-- One letter whole, held against another redrive of it.
SELECT letter_no, kind, subscription, topic, published_at, data, size_bytes, attributes, load_id,
    redriven_at
FROM dead_letter WHERE letter_no = %(letter_no)s FOR UPDATE;

-- name: replayed_as
-- The run that a message began before it became a letter, if it began one.
SELECT run FROM load_event
WHERE load_id = %(load_id)s AND kind = 'replayed'
    AND LEFT(delivery_key, CHAR_LENGTH(%(key_start)s)) = %(key_start)s
    AND RIGHT(delivery_key, CHAR_LENGTH(%(key_end)s)) = %(key_end)s
LIMIT 1;

-- name: mark_redriven
-- It was published again.
UPDATE dead_letter SET redriven_at = NOW(6) WHERE letter_no = %(letter_no)s;
