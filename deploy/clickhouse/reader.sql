-- A user for Grafana, who may read Holdup's tables and nothing else. Run it once, as an administrator:
--
--   clickhouse-client --param_password='…' --multiquery < deploy/clickhouse/reader.sql
--
-- With another database than `holdup`, change that name here. The embedded engine has one user only.

-- Questions end after a minute, and take no more than a share of the memory. readonly = 2 lets a client choose
-- settings of its own, such as limits, which ClickHouse's drivers do, but not write.
CREATE SETTINGS PROFILE IF NOT EXISTS holdup_reader SETTINGS
    readonly = 2,
    max_execution_time = 60 MAX 60,
    max_memory_usage = 4000000000 MAX 4000000000,
    max_result_rows = 1000000,
    max_threads = 4;

CREATE ROLE IF NOT EXISTS holdup_reader;

GRANT SELECT ON holdup.* TO holdup_reader;
-- The panel that lists tables and their sizes.
GRANT SELECT ON system.parts TO holdup_reader;

CREATE USER IF NOT EXISTS holdup_grafana
    IDENTIFIED WITH sha256_password BY {password:String}
    DEFAULT ROLE holdup_reader
    SETTINGS PROFILE holdup_reader;

GRANT holdup_reader TO holdup_grafana;
