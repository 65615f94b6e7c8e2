-- The ledger's statements. All times are the database's own clock.

-- name: read_load
-- One load as decisions need it, with the clock that its times are to be compared with.
SELECT *, NOW(6) AS now FROM load_ledger WHERE load_id = %(load_id)s;

-- name: lock_load
-- The same, held against every other decision until the transaction ends.
SELECT *, NOW(6) AS now FROM load_ledger WHERE load_id = %(load_id)s FOR UPDATE;

-- name: note
-- Append a line of history.
INSERT INTO load_event
    (load_id, run, fence, stage, kind, detail, delivery_key, replay_key, happened_at)
VALUES (LEFT(%(load_id)s, 255), %(run)s, %(fence)s, %(stage)s, %(kind)s,
    LEFT(%(detail)s, 5000), %(delivery_key)s, %(replay_key)s, NOW(6));

-- name: replayed_before
-- Whether this very message has replayed a stage already.
SELECT COUNT(*) FROM load_event WHERE replay_key = %(replay_key)s;

-- name: claim
-- Take the lease of a load that stands before the stage: one compare-and-set that raises the fence.
UPDATE load_ledger
SET fence = fence + 1, attempts = attempts + (lease_owner IS NOT NULL), lease_owner = %(token)s,
    lease_until = NOW(6) + INTERVAL %(lease_seconds)s SECOND,
    next_attempt_at = NULL, updated_at = NOW(6)
WHERE load_id = %(load_id)s AND run = %(run)s AND fence = %(fence)s AND state = %(state)s
    AND (lease_until IS NULL OR lease_until <= NOW(6));

-- name: replay
-- Begin a new run at a stage's input and take its lease, also from a worker that is still alive.
UPDATE load_ledger
SET run = run + 1, fence = fence + 1, state = %(state)s, lease_owner = %(token)s,
    lease_until = NOW(6) + INTERVAL %(lease_seconds)s SECOND,
    attempts = 0, next_attempt_at = NULL, needs_attention = FALSE, waiting_since = NULL,
    waiting_for = NULL, waiting_for_since = NULL, last_error = NULL, warnings = NULL,
    failed_run = IF(%(keeps_failure)s, run, NULL),
    failure_code = IF(%(keeps_failure)s, failure_code, NULL),
    failure_message = IF(%(keeps_failure)s, failure_message, NULL),
    failure_file = IF(%(keeps_failure)s, failure_file, NULL),
    failure_row = IF(%(keeps_failure)s, failure_row, NULL),
    failure_column = IF(%(keeps_failure)s, failure_column, NULL),
    started_at = NOW(6), updated_at = NOW(6)
WHERE load_id = %(load_id)s AND run = %(run)s AND fence = %(fence)s;

-- name: renew_lease
-- The heartbeat; no row means that the lease is not this worker's any more.
UPDATE load_ledger SET lease_until = NOW(6) + INTERVAL %(lease_seconds)s SECOND
WHERE load_id = %(load_id)s AND run = %(run)s AND fence = %(fence)s
    AND lease_owner = %(token)s;

-- name: read_fence
-- Whose turn it is: another fence than one's own was raised by a successor.
SELECT fence FROM load_ledger WHERE load_id = %(load_id)s;

-- name: hold_fence
-- Lock the row against a successor for the length of a commit, and see that none came before.
SELECT fence FROM load_ledger
WHERE load_id = %(load_id)s AND run = %(run)s AND fence = %(fence)s AND lease_owner = %(token)s
FOR SHARE;

-- name: finish_validator
-- Received becomes validated: the files of this run are known and their generations pinned.
UPDATE load_ledger
SET state = 'validated', reached = IF(reached = 'received', 'validated', reached),
    validated_run = run, attempts = 0, needs_attention = FALSE, last_error = NULL,
    lease_owner = NULL, lease_until = NULL, updated_at = NOW(6)
WHERE load_id = %(load_id)s AND run = %(run)s AND fence = %(fence)s
    AND lease_owner = %(token)s AND state = 'received';

-- name: finish_stager
-- Validated becomes staged: every row of the files stands in staging under this run.
UPDATE load_ledger
SET state = 'staged', reached = IF(reached = 'validated', 'staged', reached), staged_run = run,
    attempts = 0, needs_attention = FALSE, last_error = NULL,
    lease_owner = NULL, lease_until = NULL, updated_at = NOW(6)
WHERE load_id = %(load_id)s AND run = %(run)s AND fence = %(fence)s
    AND lease_owner = %(token)s AND state = 'validated';

-- name: finish_upserter
-- Staged becomes upserted: in the same transaction production has got what this load brings.
UPDATE load_ledger
SET state = 'upserted', reached = IF(reached = 'staged', 'upserted', reached),
    applied_run = run, applied_staged_run = staged_run, applied_fence = fence,
    applied_manifest_sha256 = manifest_sha256, waiting_since = NULL, waiting_for = NULL,
    waiting_for_since = NULL,
    attempts = 0, needs_attention = FALSE, last_error = NULL,
    lease_owner = NULL, lease_until = NULL, updated_at = NOW(6)
WHERE load_id = %(load_id)s AND run = %(run)s AND fence = %(fence)s
    AND lease_owner = %(token)s AND state = 'staged';

-- name: finish_reporter
-- Upserted becomes reported; a failed load keeps its state and is marked as told.
UPDATE load_ledger
SET state = IF(state = 'upserted', 'reported', state),
    reached = IF(state = 'reported' AND reached = 'upserted', 'reported', reached),
    reported_run = run, attempts = 0, needs_attention = FALSE, last_error = NULL,
    lease_owner = NULL, lease_until = NULL, updated_at = NOW(6)
WHERE load_id = %(load_id)s AND run = %(run)s AND fence = %(fence)s
    AND lease_owner = %(token)s
    AND (state IN ('upserted', 'failed') OR failed_run = run);

-- name: fail
-- A rejected run: the load is failed, or an applied one goes back to where it stood.
UPDATE load_ledger
SET state = %(next_state)s, failed_run = run, failure_code = %(code)s,
    failure_message = %(message)s, failure_file = %(file)s, failure_row = %(row)s,
    failure_column = %(column)s, attempts = 0, needs_attention = FALSE, waiting_since = NULL,
    waiting_for = NULL, waiting_for_since = NULL, last_error = NULL, lease_owner = NULL, lease_until = NULL, updated_at = NOW(6)
WHERE load_id = %(load_id)s AND run = %(run)s AND fence = %(fence)s
    AND lease_owner = %(token)s AND state = %(state)s;

-- name: postpone
-- Give the lease back after a fault that may pass, and say when to try again.
UPDATE load_ledger
SET attempts = attempts + 1, last_error = LEFT(%(error)s, 4000),
    next_attempt_at = NOW(6) + INTERVAL %(delay_seconds)s SECOND,
    needs_attention = (attempts >= %(most_attempts)s),
    lease_owner = NULL, lease_until = NULL, updated_at = NOW(6)
WHERE load_id = %(load_id)s AND run = %(run)s AND fence = %(fence)s AND lease_owner = %(token)s;

-- name: give_up
-- A load whose workers keep dying has been tried often enough; a person must look at it. The last
-- worker's name stays, so that the one who comes after ends what it left running.
UPDATE load_ledger
SET attempts = attempts + 1, needs_attention = TRUE,
    last_error = CONCAT('the worker died without a word: ', lease_owner),
    lease_until = NULL, updated_at = NOW(6)
WHERE load_id = %(load_id)s;

-- name: release
-- Give the lease back in mid-work; no fault of the load, so its attempts stay what they were.
UPDATE load_ledger
SET next_attempt_at = NOW(6), lease_owner = NULL, lease_until = NULL, updated_at = NOW(6)
WHERE load_id = %(load_id)s AND run = %(run)s AND fence = %(fence)s AND lease_owner = %(token)s;

-- name: wait
-- Give the lease back because another load goes first. Only an older load starts the clocks, and
-- another older load the second one anew; a busy gate leaves them as they are.
UPDATE load_ledger
SET waiting_since = IF(%(older)s IS NULL, waiting_since, COALESCE(waiting_since, NOW(6))),
    waiting_for_since = IF(COALESCE(%(older)s, waiting_for) <=> waiting_for,
        waiting_for_since, NOW(6)),
    waiting_for = COALESCE(%(older)s, waiting_for),
    next_attempt_at = NOW(6) + INTERVAL %(delay_seconds)s SECOND,
    lease_owner = NULL, lease_until = NULL, updated_at = NOW(6)
WHERE load_id = %(load_id)s AND run = %(run)s AND fence = %(fence)s AND lease_owner = %(token)s;

-- name: wake_waiting
-- Loads of the same source_system that wait for their turn are due at once.
UPDATE load_ledger SET next_attempt_at = NOW(6)
WHERE source_system = %(source_system)s AND load_id <> %(load_id)s AND state = 'staged'
    AND next_attempt_at > NOW(6) AND last_error IS NULL;

-- name: free_events_of_woken
-- Their events, to go out again. One that is being sent is passed over, for an upsert must not wait
-- for the bus; should it come before this transaction's end, the sweep finds its load due.
SELECT event_id FROM outbox JOIN load_ledger l USING (load_id, run)
WHERE l.source_system = %(source_system)s AND l.load_id <> %(load_id)s AND l.state = 'staged'
    AND l.next_attempt_at <= NOW(6) AND l.last_error IS NULL AND outbox.topic = 'staged'
FOR UPDATE OF outbox SKIP LOCKED;

-- name: add_warning
-- Something that a person should look at, for the report.
UPDATE load_ledger SET warnings = JSON_ARRAY_APPEND(COALESCE(warnings, '[]'), '$', %(warning)s)
WHERE load_id = %(load_id)s AND run = %(run)s AND fence = %(fence)s;

-- name: finished_under
-- Whether the run of this fence came to its end: the answer when a COMMIT's own answer was lost.
SELECT COUNT(*) FROM load_event
WHERE load_id = %(load_id)s AND fence = %(fence)s AND kind IN ('finished', 'failed');

-- name: end_worker
-- End a worker's connections by the name that they announced (ids restart, tokens do not), whatever
-- their account, and say whether such connections can be found at all. Of the empty name nothing is ended.
CALL end_worker(%(worker)s);
