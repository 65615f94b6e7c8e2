-- One row a load: the state machine that the four services share.
-- `state` is the last durable milestone; a live lease, never a state, says that a stage is running.
-- `reached` is the furthest milestone of the manifest that stands; the *_run columns are never reset.
CREATE TABLE IF NOT EXISTS load_ledger (
    load_id VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    source_system VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    partner VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    bucket VARCHAR(255) NOT NULL,
    prefix VARCHAR(255) NOT NULL,
    state ENUM('received', 'validated', 'staged', 'upserted', 'reported', 'failed') NOT NULL,
    reached ENUM('received', 'validated', 'staged', 'upserted', 'reported') NULL,
    run INT UNSIGNED NOT NULL,
    fence BIGINT UNSIGNED NOT NULL DEFAULT 0,
    lease_owner VARCHAR(200) NULL,
    lease_until DATETIME(6) NULL,
    attempts INT UNSIGNED NOT NULL DEFAULT 0,
    next_attempt_at DATETIME(6) NULL,
    needs_attention BOOLEAN NOT NULL DEFAULT FALSE,
    waiting_since DATETIME(6) NULL,
    last_error TEXT NULL,
    warnings JSON NULL,
    owned BOOLEAN NOT NULL,
    generation BIGINT NULL,
    manifest MEDIUMBLOB NULL,
    manifest_sha256 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    schema_version VARCHAR(50) NULL,
    created_at DATETIME(6) NULL,
    version BIGINT NULL,
    live_version BIGINT AS (IF(state = 'failed', NULL, version)) STORED,
    failed_run INT UNSIGNED NULL,
    failure_code VARCHAR(60) NULL,
    failure_message TEXT NULL,
    failure_file VARCHAR(255) NULL,
    failure_row BIGINT UNSIGNED NULL,
    failure_column VARCHAR(255) NULL,
    validated_run INT UNSIGNED NULL,
    staged_run INT UNSIGNED NULL,
    applied_run INT UNSIGNED NULL,
    applied_staged_run INT UNSIGNED NULL,
    applied_fence BIGINT UNSIGNED NULL,
    applied_manifest_sha256 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    reported_run INT UNSIGNED NULL,
    received_at DATETIME(6) NOT NULL,
    started_at DATETIME(6) NOT NULL,
    updated_at DATETIME(6) NOT NULL,
    PRIMARY KEY (load_id),
    UNIQUE KEY one_load_a_version (source_system, live_version),
    KEY by_state (state, next_attempt_at)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin;

-- Every manifest generation that was noticed, what became of it and why.
CREATE TABLE IF NOT EXISTS arrival (
    bucket VARCHAR(255) NOT NULL,
    object VARCHAR(1024) NOT NULL,
    generation BIGINT NOT NULL,
    verdict ENUM('noticed', 'pending', 'taken', 'history', 'superseded', 'refused') NOT NULL,
    load_id VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NULL,
    run INT UNSIGNED NULL,
    manifest_sha256 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    failure_code VARCHAR(60) NULL,
    failure_message TEXT NULL,
    noticed_at DATETIME(6) NOT NULL,
    decided_at DATETIME(6) NULL,
    PRIMARY KEY (bucket, object(500), generation),
    KEY by_load (load_id),
    KEY by_verdict (verdict, noticed_at)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin;

-- Append-only history: what happened to a load, also to one that never came to be.
-- `replay_key` makes a redelivered replay known: one published message replays once.
CREATE TABLE IF NOT EXISTS load_event (
    event_no BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    load_id VARCHAR(255) NOT NULL,
    run INT UNSIGNED NULL,
    fence BIGINT UNSIGNED NULL,
    stage VARCHAR(20) NULL,
    kind VARCHAR(40) NOT NULL,
    detail TEXT NULL,
    delivery_key VARCHAR(500) NULL,
    replay_key VARCHAR(500) NULL,
    happened_at DATETIME(6) NOT NULL,
    PRIMARY KEY (event_no),
    UNIQUE KEY one_replay_a_message (replay_key),
    KEY by_load (load_id, event_no)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin;

-- The files of a run as they were validated: what is loaded later is these bytes or nothing.
CREATE TABLE IF NOT EXISTS load_file (
    load_id VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    run INT UNSIGNED NOT NULL,
    entity VARCHAR(63) NOT NULL,
    name VARCHAR(100) NOT NULL,
    generation BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    sha256 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    PRIMARY KEY (load_id, run, entity)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin;

-- What one run of the upserter did, entity by entity; staged = the sum of the five after it.
CREATE TABLE IF NOT EXISTS load_count (
    load_id VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    run INT UNSIGNED NOT NULL,
    entity VARCHAR(63) NOT NULL,
    staged BIGINT NOT NULL,
    inserted BIGINT NULL,
    updated BIGINT NULL,
    unchanged BIGINT NULL,
    stale BIGINT NULL,
    rejected BIGINT NULL,
    PRIMARY KEY (load_id, run, entity)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin;

-- Rows that were refused, with the reason; capped a file, the counts are in load_count.
CREATE TABLE IF NOT EXISTS load_reject (
    load_id VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    run INT UNSIGNED NOT NULL,
    entity VARCHAR(63) NOT NULL,
    row_no BIGINT UNSIGNED NOT NULL,
    source_key MEDIUMTEXT NOT NULL,
    code VARCHAR(60) NOT NULL,
    column_name VARCHAR(63) NULL,
    message TEXT NOT NULL,
    raw LONGTEXT NOT NULL,
    PRIMARY KEY (load_id, run, entity, row_no)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin;

-- The report of each run, as it was printed and sent.
CREATE TABLE IF NOT EXISTS load_report (
    load_id VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    run INT UNSIGNED NOT NULL,
    report LONGTEXT NOT NULL,
    reported_at DATETIME(6) NOT NULL,
    PRIMARY KEY (load_id, run)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin;

-- Events written in the transaction of the work that they tell of, published after its commit.
CREATE TABLE IF NOT EXISTS outbox (
    event_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    bucket VARCHAR(255) NOT NULL,
    load_id VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    source_system VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    run INT UNSIGNED NOT NULL,
    topic VARCHAR(60) NOT NULL,
    body TEXT NOT NULL,
    created_at DATETIME(6) NOT NULL,
    published_at DATETIME(6) NULL,
    PRIMARY KEY (event_id),
    UNIQUE KEY one_event_a_milestone (load_id, run, topic),
    KEY unpublished (published_at, bucket)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin;

-- Notices to people and partners: one a subject, run, channel and outcome, delivered at least once.
-- The subject is a load_id, or the arrival of a manifest that was refused.
CREATE TABLE IF NOT EXISTS notification (
    notification_no BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    subject VARCHAR(500) NOT NULL,
    run BIGINT NOT NULL,
    channel VARCHAR(20) NOT NULL,
    outcome VARCHAR(20) NOT NULL,
    bucket VARCHAR(255) NOT NULL,
    body LONGTEXT NOT NULL,
    attempts INT UNSIGNED NOT NULL DEFAULT 0,
    next_attempt_at DATETIME(6) NOT NULL,
    last_error TEXT NULL,
    delivered_at DATETIME(6) NULL,
    PRIMARY KEY (notification_no),
    UNIQUE KEY one_notice (subject, run, channel, outcome),
    KEY due (delivered_at, next_attempt_at)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin;

-- One upsert at a time for each source_system; `epoch` counts the upserts that committed, so that
-- a plan made before the gate was taken is known to be still true, or made again.
CREATE TABLE IF NOT EXISTS source_gate (
    source_system VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    epoch BIGINT UNSIGNED NOT NULL DEFAULT 0,
    PRIMARY KEY (source_system)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin;

-- Keys whose hash was taken by another key already, and the id that they got instead.
CREATE TABLE IF NOT EXISTS identity_collision (
    entity VARCHAR(63) NOT NULL,
    source_system VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    source_key VARCHAR(255) NOT NULL,
    internal_id BIGINT NOT NULL,
    PRIMARY KEY (entity, source_system, source_key),
    UNIQUE KEY one_key_an_id (entity, internal_id)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin;
