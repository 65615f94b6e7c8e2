-- What the account of this connection may do. No table is touched, so that nobody's lock is waited for.

-- name: whoami
-- The account that the server took this connection for.
SELECT CURRENT_USER() AS account;

-- name: on_columns
-- The rights on every column that it sees, from wherever they come: its own, its database's, a role's.
SELECT TABLE_SCHEMA AS own, TABLE_NAME AS name, COLUMN_NAME AS column_name, PRIVILEGES AS verbs
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE();

-- name: routines
-- The routines that it may call.
SELECT ROUTINE_NAME AS name FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE();

-- name: grants
-- All that it was given, with what comes of its roles.
SHOW GRANTS;
