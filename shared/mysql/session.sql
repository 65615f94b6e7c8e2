-- What every connection says before anything else: nothing is left to the defaults of the server.

-- name: settings
-- All in one round trip. wait_timeout ends a process that froze in a transaction, and with it its
-- locks; net_read_timeout is how long a file that is being loaded may pause, or take for the next run
-- of its lines.
SET NAMES utf8mb4 COLLATE utf8mb4_0900_bin,
    SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,'
        'ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,ONLY_FULL_GROUP_BY',
    SESSION time_zone = '+00:00',
    SESSION transaction_isolation = 'READ-COMMITTED',
    SESSION transaction_read_only = OFF,
    SESSION completion_type = 'NO_CHAIN',
    SESSION default_storage_engine = 'InnoDB',
    SESSION foreign_key_checks = ON,
    SESSION unique_checks = ON,
    SESSION sql_notes = ON,
    SESSION sql_safe_updates = OFF,
    SESSION sql_big_selects = ON,
    SESSION sql_select_limit = 18446744073709551615,
    SESSION group_concat_max_len = 65536,
    SESSION max_execution_time = 0,
    SESSION innodb_lock_wait_timeout = 20,
    SESSION lock_wait_timeout = 60,
    SESSION net_read_timeout = 120,
    SESSION wait_timeout = %(silence_seconds)s;
