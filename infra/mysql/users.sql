-- The accounts of crossdock, one for each program. Safe to repeat. {prefix}, {database} and, where the
-- server takes a pattern, {pattern} are filled in by `python -m infra.mysql users`.

-- name: users
-- The server makes up a password for each account that is new, and shows it this once.
CREATE USER IF NOT EXISTS
    '{prefix}_validator'@'%' IDENTIFIED BY RANDOM PASSWORD,
    '{prefix}_stager'@'%' IDENTIFIED BY RANDOM PASSWORD,
    '{prefix}_upserter'@'%' IDENTIFIED BY RANDOM PASSWORD,
    '{prefix}_reporter'@'%' IDENTIFIED BY RANDOM PASSWORD,
    '{prefix}_operator'@'%' IDENTIFIED BY RANDOM PASSWORD,
    '{prefix}_reader'@'%' IDENTIFIED BY RANDOM PASSWORD,
    '{prefix}_migrate'@'%' IDENTIFIED BY RANDOM PASSWORD;

-- name: may_make_tables
-- Only `crossdock migrate` makes, changes and drops tables. INSERT is for its own history, and for
-- tables that it moves.
GRANT SELECT, INSERT, CREATE, ALTER, DROP, INDEX, REFERENCES, CREATE VIEW, CREATE ROUTINE
ON {pattern}.* TO '{prefix}_migrate'@'%';

-- name: may_end_connections
-- The routine by which workers end what a dead one left running has the rights of who made it.
GRANT CONNECTION_ADMIN ON *.* TO '{prefix}_migrate'@'%';

-- name: may_find_connections
-- The same, to find them by what they announced.
GRANT SELECT ON performance_schema.session_connect_attrs TO '{prefix}_migrate'@'%';
