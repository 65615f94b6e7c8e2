-- What every connection says before anything else: no default of a server or an account is relied on.

-- name: settings
-- One round trip. A process that froze in a transaction holds its locks for wait_timeout, 2 minutes,
-- and not for the server's 8 hours.
SET NAMES utf8mb4 COLLATE utf8mb4_0900_bin,
    SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,'
        'ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,ONLY_FULL_GROUP_BY',
    SESSION transaction_isolation = 'READ-COMMITTED',
    SESSION time_zone = '+00:00',
    SESSION innodb_lock_wait_timeout = 20,
    SESSION lock_wait_timeout = 60,
    SESSION wait_timeout = 120;
