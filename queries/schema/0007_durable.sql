-- What was stored stays stored: through wrong clocks, through batches that come again late, and through
-- a loss of power.

-- How long a row is kept counts from when it was stored, where that is later than its own time. Else a row
-- of a sender or a collector whose clock is days behind would expire at the insert, without an error.
-- Rows from before this step count from the merge that rewrites them.
ALTER TABLE poll_spans
    ADD COLUMN IF NOT EXISTS stored DateTime('UTC') DEFAULT now() CODEC(Delta, ZSTD(1));
ALTER TABLE poll_spans
    MODIFY TTL greatest(toDateTime(start), stored) + INTERVAL 7 DAY
    SETTINGS materialize_ttl_after_modify = 0;

ALTER TABLE suspects
    ADD COLUMN IF NOT EXISTS stored DateTime('UTC') DEFAULT now() CODEC(Delta, ZSTD(1));
ALTER TABLE suspects
    MODIFY TTL greatest(toDateTime(start), stored) + INTERVAL 7 DAY
    SETTINGS materialize_ttl_after_modify = 0;

ALTER TABLE runtime_gauges
    ADD COLUMN IF NOT EXISTS stored DateTime('UTC') DEFAULT now() CODEC(Delta, ZSTD(1));
ALTER TABLE runtime_gauges
    MODIFY TTL greatest(toDateTime(time), stored) + INTERVAL 7 DAY
    SETTINGS materialize_ttl_after_modify = 0;

ALTER TABLE tasks
    ADD COLUMN IF NOT EXISTS stored DateTime('UTC') DEFAULT now() CODEC(Delta, ZSTD(1));
ALTER TABLE tasks
    MODIFY TTL greatest(toDateTime(time), stored) + INTERVAL 7 DAY
    SETTINGS materialize_ttl_after_modify = 0;

ALTER TABLE episodes
    ADD COLUMN IF NOT EXISTS stored DateTime('UTC') DEFAULT now() CODEC(Delta, ZSTD(1));
ALTER TABLE episodes
    MODIFY TTL greatest(toDateTime(started), stored) + INTERVAL 90 DAY
    SETTINGS materialize_ttl_after_modify = 0;

ALTER TABLE functions_1m
    ADD COLUMN IF NOT EXISTS stored SimpleAggregateFunction(max, DateTime('UTC')) DEFAULT now() CODEC(Delta, ZSTD(1));
ALTER TABLE functions_1m
    MODIFY TTL greatest(minute, stored) + INTERVAL 90 DAY
    SETTINGS materialize_ttl_after_modify = 0;

ALTER TABLE poll_histograms
    ADD COLUMN IF NOT EXISTS stored SimpleAggregateFunction(max, DateTime('UTC')) DEFAULT now() CODEC(Delta, ZSTD(1));
ALTER TABLE poll_histograms
    MODIFY TTL greatest(minute, stored) + INTERVAL 30 DAY
    SETTINGS materialize_ttl_after_modify = 0;

ALTER TABLE heartbeats
    ADD COLUMN IF NOT EXISTS stored SimpleAggregateFunction(max, DateTime('UTC')) DEFAULT now() CODEC(Delta, ZSTD(1));
ALTER TABLE heartbeats
    MODIFY TTL greatest(toDateTime(last_seen), stored) + INTERVAL 30 DAY
    SETTINGS materialize_ttl_after_modify = 0;

ALTER TABLE functions_1h
    ADD COLUMN IF NOT EXISTS stored SimpleAggregateFunction(max, DateTime('UTC')) DEFAULT now() CODEC(Delta, ZSTD(1));
ALTER TABLE functions_1h
    MODIFY TTL greatest(hour, stored) + INTERVAL 400 DAY
    SETTINGS materialize_ttl_after_modify = 0;

ALTER TABLE services_1m
    ADD COLUMN IF NOT EXISTS stored SimpleAggregateFunction(max, DateTime('UTC')) DEFAULT now() CODEC(Delta, ZSTD(1));
ALTER TABLE services_1m
    MODIFY TTL greatest(minute, stored) + INTERVAL 90 DAY
    SETTINGS materialize_ttl_after_modify = 0;

ALTER TABLE services_1h
    ADD COLUMN IF NOT EXISTS stored SimpleAggregateFunction(max, DateTime('UTC')) DEFAULT now() CODEC(Delta, ZSTD(1));
ALTER TABLE services_1h
    MODIFY TTL greatest(hour, stored) + INTERVAL 400 DAY
    SETTINGS materialize_ttl_after_modify = 0;

ALTER TABLE polls_1h
    ADD COLUMN IF NOT EXISTS stored SimpleAggregateFunction(max, DateTime('UTC')) DEFAULT now() CODEC(Delta, ZSTD(1));
ALTER TABLE polls_1h
    MODIFY TTL greatest(hour, stored) + INTERVAL 400 DAY
    SETTINGS materialize_ttl_after_modify = 0;

ALTER TABLE polls_1m
    ADD COLUMN IF NOT EXISTS stored SimpleAggregateFunction(max, DateTime('UTC')) DEFAULT now() CODEC(Delta, ZSTD(1));
ALTER TABLE polls_1m
    MODIFY TTL greatest(minute, stored) + INTERVAL 90 DAY
    SETTINGS materialize_ttl_after_modify = 0;

-- A batch may be sent again after its collector was away for hours, and other collectors go on meanwhile:
-- docs/guarantees.md says for how many hours of how many collectors this many blocks are enough. These
-- are the tables in which a row that comes twice counts twice; poll_spans is the source of its rollups.
-- ClickHouse answers once its parts are on disk, so that the log may give up what they hold.
ALTER TABLE poll_spans MODIFY SETTING
    non_replicated_deduplication_window = 50000, fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE functions_1m MODIFY SETTING
    non_replicated_deduplication_window = 50000, fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE poll_histograms MODIFY SETTING
    non_replicated_deduplication_window = 50000, fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE runtime_gauges MODIFY SETTING
    non_replicated_deduplication_window = 50000, fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE tasks MODIFY SETTING
    non_replicated_deduplication_window = 50000, fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE functions_1h MODIFY SETTING
    non_replicated_deduplication_window = 50000, fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE services_1m MODIFY SETTING
    non_replicated_deduplication_window = 50000, fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE services_1h MODIFY SETTING
    non_replicated_deduplication_window = 50000, fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE polls_1h MODIFY SETTING
    non_replicated_deduplication_window = 50000, fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE polls_1m MODIFY SETTING
    non_replicated_deduplication_window = 50000, fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE functions MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE services MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE suspects MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE stacks MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE heartbeats MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
