-- Blocking episodes, upserted while they go on; and what is suspected only.

CREATE TABLE IF NOT EXISTS episodes
(
    episode_id       UInt64 CODEC(NONE),
    service          LowCardinality(String),
    environment      LowCardinality(String),
    service_version  LowCardinality(String),
    instance         LowCardinality(String),
    function         LowCardinality(String),
    started          DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    ended            DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    closed           Bool,
    polls            UInt64 CODEC(T64, ZSTD(1)),
    stalled          UInt64 CODEC(T64, ZSTD(1)),
    blocked_ns       UInt64 CODEC(T64, ZSTD(1)),
    max_ns           UInt64 CODEC(T64, ZSTD(1)),
    victims          UInt64 CODEC(T64, ZSTD(1)),
    cause            LowCardinality(String),
    blame_function   LowCardinality(String),
    blame_crate      LowCardinality(String),
    stack_id         UInt64 CODEC(ZSTD(1)),
    worst_trace_id   FixedString(16) CODEC(NONE),
    worst_span_id    FixedString(8) CODEC(NONE),
    revision         UInt64 CODEC(Delta, ZSTD(1)),
    is_deleted       UInt8
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
PARTITION BY toYYYYMM(started)
ORDER BY (service, function, started, episode_id)
TTL toDateTime(started) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS suspects
(
    start        DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    service      LowCardinality(String),
    instance     LowCardinality(String),
    function     LowCardinality(String),
    duration_ns  UInt64 CODEC(T64, ZSTD(1)),
    busy_ns      UInt64 CODEC(T64, ZSTD(1)),
    idle_ns      UInt64 CODEC(T64, ZSTD(1)),
    trace_id     FixedString(16) CODEC(NONE),
    span_id      FixedString(8) CODEC(NONE)
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(start)
ORDER BY (service, function, start, span_id)
TTL toDateTime(start) + INTERVAL 7 DAY
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1;
