-- The episodes that the fold must agree with when the collector starts: those that late polls may still
-- join, and those that nobody has closed.
SELECT
    episode_id,
    service,
    environment,
    service_version,
    instance,
    function,
    toUnixTimestamp64Nano(started) AS start_ns,
    revision
FROM episodes FINAL
WHERE ended >= fromUnixTimestamp64Nano({horizon_ns:Int64}, 'UTC') OR NOT closed
