-- What services measure of themselves: all polls by function, their runtimes, and that they are there.

CREATE TABLE IF NOT EXISTS poll_histograms
(
    minute    DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    service   LowCardinality(String),
    function  LowCardinality(String),
    instance  LowCardinality(String),
    calls     SimpleAggregateFunction(sum, UInt64),
    sum_ns    SimpleAggregateFunction(sum, UInt64),
    -- Polls by bucket: that of index i is from 2^(i/4) to 2^((i+1)/4) seconds.
    buckets   SimpleAggregateFunction(sumMap, Map(Int16, UInt64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(minute)
ORDER BY (minute, service, function, instance)
TTL minute + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS runtime_gauges
(
    time      DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    service   LowCardinality(String),
    instance  LowCardinality(String),
    runtime   LowCardinality(String),
    metric    LowCardinality(String),
    value     Float64 CODEC(Gorilla, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(time)
ORDER BY (service, metric, instance, runtime, time)
TTL toDateTime(time) + INTERVAL 7 DAY
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS heartbeats
(
    service          LowCardinality(String),
    environment      LowCardinality(String),
    service_version  LowCardinality(String),
    instance         LowCardinality(String),
    first_seen       SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_seen        SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (service, environment, service_version, instance)
TTL toDateTime(last_seen) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 1000;
