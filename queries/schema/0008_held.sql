-- What a poll span tells of the runtime around it, and of who held the lock that it waited for.

ALTER TABLE poll_spans
    ADD COLUMN IF NOT EXISTS throttled_ns        UInt64 CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS runtime_stalled     Bool,
    ADD COLUMN IF NOT EXISTS driver_idle         Bool,
    ADD COLUMN IF NOT EXISTS sampled             Bool,
    ADD COLUMN IF NOT EXISTS holder_thread_id    UInt64 CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS holder_thread_name  LowCardinality(String),
    ADD COLUMN IF NOT EXISTS holder_function     LowCardinality(String),
    ADD COLUMN IF NOT EXISTS holder_evidence     LowCardinality(String)
