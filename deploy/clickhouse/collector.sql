-- The collector's own user, who may do what the schema and the collector's statements need in its database, and
-- nothing elsewhere. Run it once, as an administrator:
--
--   clickhouse-client --param_password='…' --multiquery < deploy/clickhouse/collector.sql
--   holdup serve --clickhouse-user holdup_collector --clickhouse-password-file …
--
-- With another database than `holdup`, change that name here. With `--cluster`, run it ON CLUSTER, grant the same on
-- `holdup_local.*`, and beside that `GRANT CLUSTER, REMOTE ON *.* TO holdup_collector`.

CREATE ROLE IF NOT EXISTS holdup_collector;

-- The schema. The database itself only where it is not there yet.
GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE, TRUNCATE ON holdup.* TO holdup_collector;
GRANT ALTER COLUMN, ALTER INDEX, ALTER TTL, ALTER MATERIALIZE TTL, ALTER SETTINGS ON holdup.* TO holdup_collector;
-- What it stores and asks.
GRANT SELECT, INSERT ON holdup.* TO holdup_collector;
-- The panel that lists tables and their sizes.
GRANT SELECT ON system.parts TO holdup_collector;

CREATE USER IF NOT EXISTS holdup_collector
    IDENTIFIED WITH sha256_password BY {password:String}
    DEFAULT ROLE holdup_collector;

GRANT holdup_collector TO holdup_collector;
