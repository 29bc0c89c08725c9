-- What other collectors wrote of episodes in the last seconds, by ClickHouse's clock: each write, and not only the last.
SELECT
    episode_id,
    toString(service) AS service,
    toString(environment) AS environment,
    toString(service_version) AS service_version,
    toString(instance) AS instance,
    toString(function) AS function,
    toUnixTimestamp64Nano(started) AS start_ns,
    toUnixTimestamp64Nano(ended) AS end_ns,
    polls,
    stalled,
    blocked_ns,
    victims,
    revision,
    is_deleted
FROM episodes
WHERE stored >= now() - toIntervalSecond({seconds:UInt32}) AND writer != {writer:UInt64}
ORDER BY revision DESC
LIMIT {limit:UInt32}
