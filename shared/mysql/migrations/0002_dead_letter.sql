-- What no stage could take and what belongs to no load, one row for each different thing.
-- `delivery_key` is the delivery that brought it last, so that one delivery counts once.
CREATE TABLE IF NOT EXISTS dead_letter (
    letter_no BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    kind ENUM('undelivered', 'refused', 'in_process', 'no_envelope', 'foreign_bucket') NOT NULL,
    digest CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    subscription VARCHAR(500) NULL,
    topic VARCHAR(60) NULL,
    published_at DATETIME(6) NULL,
    data MEDIUMBLOB NOT NULL,
    size_bytes BIGINT UNSIGNED NOT NULL,
    attributes JSON NOT NULL,
    reason TEXT NOT NULL,
    load_id VARCHAR(255) NULL,
    times INT UNSIGNED NOT NULL DEFAULT 1,
    delivery_key VARCHAR(1000) NULL,
    first_seen DATETIME(6) NOT NULL,
    last_seen DATETIME(6) NOT NULL,
    redriven_at DATETIME(6) NULL,
    PRIMARY KEY (letter_no),
    UNIQUE KEY one_letter (digest),
    KEY by_last_seen (last_seen),
    KEY by_first_seen (kind, first_seen)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin;
