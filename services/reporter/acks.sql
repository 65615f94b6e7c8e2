-- What an ack is made of.

-- name: take_turn
-- One worker at a time writes a load's ack: each holds the load's oldest report until it has.
SELECT run FROM load_report WHERE load_id = %(load_id)s ORDER BY run LIMIT 1 FOR UPDATE;

-- name: runs_told
-- The load's runs with a report, each with the manifest that began it or the run that it replays.
SELECT r.run, r.report, began.bucket, began.object, began.generation, began.run AS begun_run,
    EXISTS (
        SELECT 1 FROM load_event e
        WHERE e.load_id = %(load_id)s AND e.run = r.run AND e.kind = 'replayed'
            AND e.stage = 'reporter'
    ) AS told_again
FROM load_report r JOIN LATERAL (
    SELECT a.bucket, a.object, a.generation, a.run FROM arrival a
    WHERE a.load_id = %(load_id)s AND a.verdict = 'taken' AND a.run <= r.run
    ORDER BY a.run DESC LIMIT 1
) began
WHERE r.load_id = %(load_id)s ORDER BY r.run;

-- name: rejects_after
-- The next rejected rows of a file, in its order.
SELECT row_no, column_name, code, message, raw FROM load_reject
WHERE load_id = %(load_id)s AND run = %(run)s AND entity = %(entity)s AND row_no > %(row_no)s
ORDER BY row_no LIMIT %(most)s;
