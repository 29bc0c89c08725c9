-- Episodes in days instead of months, so that a question about a day reads that day. They last from `started`, which
-- chooses the day, to `ended`: of the days before, an index by blocks leaves those that had ended.
--
-- The last rows are copied twice, for those that other collectors write meanwhile: of two with one key the later revision holds.
-- How long they are kept is set to 90 days again.
DROP TABLE IF EXISTS episodes_by_day;

CREATE TABLE episodes_by_day AS episodes
ENGINE = ReplacingMergeTree(revision, is_deleted)
PARTITION BY toDate(started)
ORDER BY (service, function, started, episode_id)
TTL greatest(toDateTime(started), stored) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1;

ALTER TABLE episodes_by_day ADD INDEX IF NOT EXISTS ended ended TYPE minmax GRANULARITY 1;

INSERT INTO episodes_by_day SELECT * FROM episodes
SETTINGS insert_deduplicate = 0, max_partitions_per_insert_block = 0;

EXCHANGE TABLES episodes AND episodes_by_day;

INSERT INTO episodes SELECT * FROM episodes_by_day WHERE stored >= now() - INTERVAL 1 DAY
SETTINGS insert_deduplicate = 0, max_partitions_per_insert_block = 0;

DROP TABLE episodes_by_day;
