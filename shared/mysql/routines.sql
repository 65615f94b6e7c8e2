-- What services may do with more rights than their own; made by `crossdock migrate`, and run as the
-- account that it made it with.

-- name: end_worker
-- Ends every connection that announced itself as this worker, of whatever account, and tells how
-- many there were; and whether connections can be found, by the one that asks. A worker's name has
-- an @ in it, and of no other name anything is ended. Services may call this, and so need no right
-- to end connections.
CREATE PROCEDURE end_worker(IN worker VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin)
SQL SECURITY DEFINER
BEGIN
    DECLARE connections INT UNSIGNED DEFAULT 0;
    DECLARE connection_no BIGINT UNSIGNED;
    DECLARE no_more BOOLEAN DEFAULT FALSE;
    DECLARE announced CURSOR FOR
        SELECT PROCESSLIST_ID FROM performance_schema.session_connect_attrs
        WHERE ATTR_NAME = 'program_name' AND ATTR_VALUE = CONCAT('crossdock:', worker)
            AND worker LIKE '%@%';
    DECLARE CONTINUE HANDLER FOR NOT FOUND SET no_more = TRUE;
    DECLARE CONTINUE HANDLER FOR 1094 BEGIN END; -- it ended by itself meanwhile
    OPEN announced;
    FETCH announced INTO connection_no;
    WHILE NOT no_more DO
        SET connections = connections + 1;
        KILL CONNECTION connection_no;
        FETCH announced INTO connection_no;
    END WHILE;
    CLOSE announced;
    SELECT connections, CURRENT_USER() AS runs_as,
        SUBSTRING_INDEX(CURRENT_USER(), '@', 1) = SUBSTRING_INDEX(USER(), '@', 1) OR EXISTS (
            SELECT 1 FROM information_schema.USER_PRIVILEGES
            WHERE PRIVILEGE_TYPE IN ('CONNECTION_ADMIN', 'SUPER')
        ) AS ends_others,
        @@performance_schema AS performance_schema,
        @@performance_schema_session_connect_attrs_size AS announced_bytes,
        EXISTS (
            SELECT 1 FROM performance_schema.session_connect_attrs
            WHERE PROCESSLIST_ID = CONNECTION_ID()
                AND ATTR_NAME = 'program_name' AND LEFT(ATTR_VALUE, 9) = 'crossdock'
        ) AS sees_itself;
END;
