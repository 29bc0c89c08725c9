-- Poll spans as they came, and the rollups that are filled from them in one hop.

CREATE TABLE IF NOT EXISTS poll_spans
(
    start            DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    duration_ns      UInt64 CODEC(T64, ZSTD(1)),
    self_ns          UInt64 CODEC(T64, ZSTD(1)),
    cpu_ns           UInt64 CODEC(T64, ZSTD(1)),
    runqueue_ns      UInt64 CODEC(T64, ZSTD(1)),
    threshold_ns     UInt64 CODEC(T64, ZSTD(1)),
    service          LowCardinality(String),
    environment      LowCardinality(String),
    service_version  LowCardinality(String),
    instance         LowCardinality(String),
    function         LowCardinality(String),
    file             LowCardinality(String),
    line             UInt32 CODEC(T64, ZSTD(1)),
    cause            LowCardinality(String),
    blame_function   LowCardinality(String),
    blame_crate      LowCardinality(String),
    stack_id         UInt64 CODEC(ZSTD(1)),
    victims          UInt32 CODEC(T64, ZSTD(1)),
    thread_id        UInt64 CODEC(T64, ZSTD(1)),
    thread_name      LowCardinality(String),
    runtime          LowCardinality(String),
    worker           Int32 CODEC(T64, ZSTD(1)),
    task_id          UInt64 CODEC(T64, ZSTD(1)),
    task_name        LowCardinality(String),
    task_spawned_at  LowCardinality(String),
    stall            Bool,
    -- Which of the forms of one poll holds: a finished one over a stall, a longer over a shorter.
    form             UInt64 MATERIALIZED if(stall, 0, 9223372036854775808) + duration_ns CODEC(T64, ZSTD(1)),
    trace_id         FixedString(16) CODEC(NONE),
    span_id          FixedString(8) CODEC(NONE),
    parent_span_id   FixedString(8) CODEC(ZSTD(1)),
    scope_version    LowCardinality(String)
)
ENGINE = ReplacingMergeTree(form)
PARTITION BY toDate(start)
ORDER BY (service, function, start, span_id)
TTL toDateTime(start) + INTERVAL 7 DAY
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS stacks
(
    stack_id  UInt64 CODEC(ZSTD(1)),
    frames    Array(String) CODEC(ZSTD(3)),
    seen      DateTime('UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(seen)
ORDER BY stack_id
TTL seen + INTERVAL 90 DAY;

CREATE TABLE IF NOT EXISTS functions_1m
(
    minute          DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    service         LowCardinality(String),
    function        LowCardinality(String),
    calls           SimpleAggregateFunction(sum, UInt64),
    blocked_ns      SimpleAggregateFunction(sum, UInt64),
    max_ns          SimpleAggregateFunction(max, UInt64),
    buckets         SimpleAggregateFunction(sumMap, Map(UInt16, UInt64)),
    causes          SimpleAggregateFunction(sumMap, Map(String, UInt64)),
    file            SimpleAggregateFunction(anyLast, LowCardinality(String)),
    line            SimpleAggregateFunction(anyLast, UInt32),
    -- Self time, function and crate of the longest poll that blames one.
    blame           SimpleAggregateFunction(max, Tuple(UInt64, String, String)),
    instances       AggregateFunction(uniq, String)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(minute)
ORDER BY (minute, service, function)
TTL minute + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS poll_spans_to_functions_1m TO functions_1m AS
SELECT
    toStartOfMinute(toDateTime64(start, 3, 'UTC') + toIntervalMillisecond(intDiv(duration_ns, 1000000))) AS minute,
    service,
    function,
    count() AS calls,
    sum(self_ns) AS blocked_ns,
    max(self_ns) AS max_ns,
    sumMap(map(toUInt16(floor(log2(greatest(self_ns, 1)) * 8)), toUInt64(1))) AS buckets,
    sumMap(map(toString(cause), self_ns)) AS causes,
    anyLast(file) AS file,
    anyLast(line) AS line,
    max(if(blame_function = '', (toUInt64(0), '', ''), (self_ns, toString(blame_function), toString(blame_crate)))) AS blame,
    uniqState(toString(instance)) AS instances
FROM poll_spans
WHERE NOT stall
GROUP BY minute, service, function;

CREATE TABLE IF NOT EXISTS functions
(
    service          LowCardinality(String),
    function         LowCardinality(String),
    service_version  LowCardinality(String),
    first_seen       SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_seen        SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (service, function, service_version);

CREATE MATERIALIZED VIEW IF NOT EXISTS poll_spans_to_functions TO functions AS
SELECT
    service,
    function,
    service_version,
    min(toDateTime64(start, 3, 'UTC')) AS first_seen,
    max(toDateTime64(start, 3, 'UTC')) AS last_seen
FROM poll_spans
GROUP BY service, function, service_version;

CREATE TABLE IF NOT EXISTS services
(
    service          LowCardinality(String),
    environment      LowCardinality(String),
    service_version  LowCardinality(String),
    first_seen       SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_seen        SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    instances        AggregateFunction(uniq, String)
)
ENGINE = AggregatingMergeTree
ORDER BY (service, environment, service_version);

CREATE MATERIALIZED VIEW IF NOT EXISTS poll_spans_to_services TO services AS
SELECT
    service,
    environment,
    service_version,
    min(toDateTime64(start, 3, 'UTC')) AS first_seen,
    max(toDateTime64(start, 3, 'UTC')) AS last_seen,
    uniqState(toString(instance)) AS instances
FROM poll_spans
GROUP BY service, environment, service_version;
