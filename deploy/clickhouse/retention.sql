-- How long each tier is kept: raw spans a week, minutes a quarter, hours a year and a bit. These are the values that
-- the schema begins with; change the numbers and run it, as often as you like.
--
--   clickhouse-client --database holdup --multiquery < deploy/clickhouse/retention.sql
--
-- A row's time counts from when it was stored, where that is later than its own: `stored`.
-- Only what is older than the tier's time goes, and only when its part is merged next; nothing is rewritten at once.
-- A longer time holds for what is still there. Updates of Holdup leave it as it is.
SET materialize_ttl_after_modify = 0;

-- Raw.
ALTER TABLE poll_spans MODIFY TTL greatest(toDateTime(start), stored) + INTERVAL 7 DAY;
ALTER TABLE suspects MODIFY TTL greatest(toDateTime(start), stored) + INTERVAL 7 DAY;
ALTER TABLE runtime_gauges MODIFY TTL greatest(toDateTime(time), stored) + INTERVAL 7 DAY;
ALTER TABLE tasks MODIFY TTL greatest(toDateTime(time), stored) + INTERVAL 7 DAY;

-- Minutes, and what is as coarse.
ALTER TABLE functions_1m MODIFY TTL greatest(minute, stored) + INTERVAL 90 DAY;
ALTER TABLE services_1m MODIFY TTL greatest(minute, stored) + INTERVAL 90 DAY;
ALTER TABLE polls_1m MODIFY TTL greatest(minute, stored) + INTERVAL 90 DAY;
ALTER TABLE episodes MODIFY TTL greatest(toDateTime(started), stored) + INTERVAL 90 DAY;
ALTER TABLE stacks MODIFY TTL seen + INTERVAL 90 DAY;
ALTER TABLE poll_histograms MODIFY TTL greatest(minute, stored) + INTERVAL 30 DAY;

-- Hours.
ALTER TABLE functions_1h MODIFY TTL greatest(hour, stored) + INTERVAL 400 DAY;
ALTER TABLE services_1h MODIFY TTL greatest(hour, stored) + INTERVAL 400 DAY;
ALTER TABLE polls_1h MODIFY TTL greatest(hour, stored) + INTERVAL 400 DAY;

-- What alerts became, and who was told.
ALTER TABLE alert_transitions MODIFY TTL toDateTime(time) + INTERVAL 90 DAY;
ALTER TABLE alert_notifications MODIFY TTL toDateTime(time) + INTERVAL 90 DAY;
