-- Live tasks of services, as their dumps list them.

CREATE TABLE IF NOT EXISTS tasks
(
    time             DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    service          LowCardinality(String),
    instance         LowCardinality(String),
    service_version  LowCardinality(String),
    -- The same for all tasks of one dump.
    dump_id          UInt64 CODEC(ZSTD(1)),
    reason           LowCardinality(String),
    -- Live tasks that the dump doesn't list; -1 where that isn't known.
    unknown          Int64 CODEC(ZSTD(1)),
    -- 0 where it has none.
    task_id          UInt64 CODEC(T64, ZSTD(1)),
    name             LowCardinality(String),
    file             LowCardinality(String),
    line             UInt32 CODEC(T64, ZSTD(1)),
    state            LowCardinality(String),
    since_ns         UInt64 CODEC(T64, ZSTD(1)),
    age_ns           UInt64 CODEC(T64, ZSTD(1)),
    polls            UInt64 CODEC(T64, ZSTD(1)),
    busy_ns          UInt64 CODEC(T64, ZSTD(1)),
    -- How long ago; -1 for never, or not noted.
    woken_ns         Int64 CODEC(T64, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(time)
ORDER BY (service, time, instance, dump_id)
TTL toDateTime(time) + INTERVAL 7 DAY
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1;
