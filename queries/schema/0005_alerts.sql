-- What became of alerts, who was told, and which collectors evaluate rules.

CREATE TABLE IF NOT EXISTS alert_transitions
(
    time         DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    alert        LowCardinality(String),
    -- Of the labels, 16 hex digits.
    fingerprint  String CODEC(ZSTD(1)),
    labels       Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    annotations  Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    -- pending, firing, resolved or inactive.
    state        LowCardinality(String),
    flaps        Bool,
    value        Float64 CODEC(ZSTD(1)),
    evaluator    LowCardinality(String)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (alert, fingerprint, time, state)
TTL toDateTime(time) + INTERVAL 90 DAY;

CREATE TABLE IF NOT EXISTS alert_notifications
(
    time          DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    receiver      LowCardinality(String),
    group_key     String CODEC(ZSTD(1)),
    fingerprints  Array(String) CODEC(ZSTD(1)),
    -- firing or resolved, one for each fingerprint.
    statuses      Array(LowCardinality(String)),
    outcome       LowCardinality(String),
    attempts      UInt32,
    reason        String CODEC(ZSTD(1)),
    evaluator     LowCardinality(String)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, receiver, group_key)
TTL toDateTime(time) + INTERVAL 90 DAY;

CREATE TABLE IF NOT EXISTS alert_evaluators
(
    evaluator  String,
    -- By ClickHouse's clock, so that those of collectors need not agree.
    heard      DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(heard)
ORDER BY evaluator
TTL toDateTime(heard) + INTERVAL 1 DAY;
