-- Rollups for long ranges and for whole services, each filled in one hop; what is stored already is added up once.

CREATE TABLE IF NOT EXISTS functions_1h
(
    hour            DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    service         LowCardinality(String),
    function        LowCardinality(String),
    calls           SimpleAggregateFunction(sum, UInt64),
    blocked_ns      SimpleAggregateFunction(sum, UInt64),
    max_ns          SimpleAggregateFunction(max, UInt64),
    buckets         SimpleAggregateFunction(sumMap, Map(UInt16, UInt64)),
    causes          SimpleAggregateFunction(sumMap, Map(String, UInt64)),
    file            SimpleAggregateFunction(anyLast, LowCardinality(String)),
    line            SimpleAggregateFunction(anyLast, UInt32),
    blame           SimpleAggregateFunction(max, Tuple(UInt64, String, String)),
    instances       AggregateFunction(uniq, String)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (service, function, hour)
TTL hour + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 1000;

TRUNCATE TABLE functions_1h;

INSERT INTO functions_1h
SELECT
    toStartOfHour(minute) AS hour,
    service,
    function,
    sum(calls),
    sum(blocked_ns),
    max(max_ns),
    sumMap(buckets),
    sumMap(causes),
    anyLast(file),
    anyLast(line),
    max(blame),
    uniqMergeState(instances)
FROM functions_1m
GROUP BY hour, service, function
SETTINGS insert_deduplicate = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS poll_spans_to_functions_1h TO functions_1h AS
SELECT
    toStartOfHour(toDateTime64(start, 3, 'UTC') + toIntervalMillisecond(intDiv(duration_ns, 1000000))) AS hour,
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
GROUP BY hour, service, function;

CREATE TABLE IF NOT EXISTS services_1m
(
    minute           DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    service          LowCardinality(String),
    environment      LowCardinality(String),
    service_version  LowCardinality(String),
    calls            SimpleAggregateFunction(sum, UInt64),
    blocked_ns       SimpleAggregateFunction(sum, UInt64),
    max_ns           SimpleAggregateFunction(max, UInt64),
    victims          SimpleAggregateFunction(sum, UInt64),
    -- As in functions_1m, and blocked time by cause and by the crate that is to blame.
    buckets          SimpleAggregateFunction(sumMap, Map(UInt16, UInt64)),
    causes           SimpleAggregateFunction(sumMap, Map(String, UInt64)),
    crates           SimpleAggregateFunction(sumMap, Map(String, UInt64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(minute)
ORDER BY (minute, service, environment, service_version)
TTL minute + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS services_1h
(
    hour             DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    service          LowCardinality(String),
    environment      LowCardinality(String),
    service_version  LowCardinality(String),
    calls            SimpleAggregateFunction(sum, UInt64),
    blocked_ns       SimpleAggregateFunction(sum, UInt64),
    max_ns           SimpleAggregateFunction(max, UInt64),
    victims          SimpleAggregateFunction(sum, UInt64),
    buckets          SimpleAggregateFunction(sumMap, Map(UInt16, UInt64)),
    causes           SimpleAggregateFunction(sumMap, Map(String, UInt64)),
    crates           SimpleAggregateFunction(sumMap, Map(String, UInt64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (hour, service, environment, service_version)
TTL hour + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 1000;

TRUNCATE TABLE services_1m;

INSERT INTO services_1m
SELECT
    toStartOfMinute(toDateTime64(start, 3, 'UTC') + toIntervalMillisecond(intDiv(duration_ns, 1000000))) AS minute,
    service,
    environment,
    service_version,
    count(),
    sum(self_ns),
    max(self_ns),
    sum(poll_spans.victims),
    sumMap(map(toUInt16(floor(log2(greatest(self_ns, 1)) * 8)), toUInt64(1))),
    sumMap(map(toString(cause), self_ns)),
    sumMap(map(toString(blame_crate), self_ns))
FROM poll_spans FINAL
WHERE NOT stall
GROUP BY minute, service, environment, service_version
SETTINGS insert_deduplicate = 0;

TRUNCATE TABLE services_1h;

INSERT INTO services_1h
SELECT
    toStartOfHour(minute) AS hour,
    service,
    environment,
    service_version,
    sum(calls),
    sum(blocked_ns),
    max(max_ns),
    sum(services_1m.victims),
    sumMap(buckets),
    sumMap(causes),
    sumMap(crates)
FROM services_1m
GROUP BY hour, service, environment, service_version
SETTINGS insert_deduplicate = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS poll_spans_to_services_1m TO services_1m AS
SELECT
    toStartOfMinute(toDateTime64(start, 3, 'UTC') + toIntervalMillisecond(intDiv(duration_ns, 1000000))) AS minute,
    service,
    environment,
    service_version,
    count() AS calls,
    sum(self_ns) AS blocked_ns,
    max(self_ns) AS max_ns,
    sum(poll_spans.victims) AS victims,
    sumMap(map(toUInt16(floor(log2(greatest(self_ns, 1)) * 8)), toUInt64(1))) AS buckets,
    sumMap(map(toString(cause), self_ns)) AS causes,
    sumMap(map(toString(blame_crate), self_ns)) AS crates
FROM poll_spans
WHERE NOT stall
GROUP BY minute, service, environment, service_version;

CREATE MATERIALIZED VIEW IF NOT EXISTS poll_spans_to_services_1h TO services_1h AS
SELECT
    toStartOfHour(toDateTime64(start, 3, 'UTC') + toIntervalMillisecond(intDiv(duration_ns, 1000000))) AS hour,
    service,
    environment,
    service_version,
    count() AS calls,
    sum(self_ns) AS blocked_ns,
    max(self_ns) AS max_ns,
    sum(poll_spans.victims) AS victims,
    sumMap(map(toUInt16(floor(log2(greatest(self_ns, 1)) * 8)), toUInt64(1))) AS buckets,
    sumMap(map(toString(cause), self_ns)) AS causes,
    sumMap(map(toString(blame_crate), self_ns)) AS crates
FROM poll_spans
WHERE NOT stall
GROUP BY hour, service, environment, service_version;

CREATE TABLE IF NOT EXISTS polls_1h
(
    hour      DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    service   LowCardinality(String),
    function  LowCardinality(String),
    calls     SimpleAggregateFunction(sum, UInt64),
    sum_ns    SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (service, function, hour)
TTL hour + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 1000;

TRUNCATE TABLE polls_1h;

INSERT INTO polls_1h
SELECT toStartOfHour(minute) AS hour, service, function, sum(calls), sum(sum_ns)
FROM poll_histograms
GROUP BY hour, service, function
SETTINGS insert_deduplicate = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS poll_histograms_to_polls_1h TO polls_1h AS
SELECT
    toStartOfHour(minute) AS hour,
    service,
    function,
    sum(poll_histograms.calls) AS calls,
    sum(poll_histograms.sum_ns) AS sum_ns
FROM poll_histograms
GROUP BY hour, service, function;

-- All polls of a service, functions and instances added up: a share over the whole fleet reads few rows.
CREATE TABLE IF NOT EXISTS polls_1m
(
    minute    DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    service   LowCardinality(String),
    calls     SimpleAggregateFunction(sum, UInt64),
    sum_ns    SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(minute)
ORDER BY (minute, service)
TTL minute + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 1000;

TRUNCATE TABLE polls_1m;

INSERT INTO polls_1m
SELECT minute, service, sum(calls), sum(sum_ns)
FROM poll_histograms
GROUP BY minute, service
SETTINGS insert_deduplicate = 0;

CREATE MATERIALIZED VIEW IF NOT EXISTS poll_histograms_to_polls_1m TO polls_1m AS
SELECT minute, service, sum(poll_histograms.calls) AS calls, sum(poll_histograms.sum_ns) AS sum_ns
FROM poll_histograms
GROUP BY minute, service;
