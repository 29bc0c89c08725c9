-- title: Versions compared
-- description: What each version of a service blocked in the range: did the last deploy make it better or worse?
-- reading: Compare blocked an hour, p99 and share of the newest two.
-- column: service | the service
-- column: version | its version
-- column: environment | where it runs
-- column: first_seen_ms | unix ms | first heard of at all
-- column: last_seen_ms | unix ms | last heard of at all
-- column: polls | count | slow polls in the range
-- column: blocked_ns | ns | time that they held threads
-- column: blocked_ns_an_hour | ns | that, an hour in which the version blocked at all
-- column: p50_ns | ns | median of them, from buckets 9 % wide
-- column: p99_ns | ns | 99th percentile of them, from buckets 9 % wide
-- column: max_ns | ns | the longest
-- column: victims | count | tasks that had to wait
-- cost: reads a rollup of services, by minutes below steps of an hour, else by hours, and the tables of services and heartbeats
WITH
    parts AS
    (
        SELECT minute AS at, service, environment, service_version, calls, blocked_ns, max_ns, buckets, victims
        FROM services_1m
        WHERE {step:UInt32} < 3600
            AND minute >= toStartOfMinute({from:DateTime64(3, 'UTC')}) AND minute < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
            AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
        UNION ALL
        SELECT hour AS at, service, environment, service_version, calls, blocked_ns, max_ns, buckets, victims
        FROM services_1h
        WHERE {step:UInt32} >= 3600
            AND hour >= toStartOfHour({from:DateTime64(3, 'UTC')}) AND hour < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
            AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
    ),
    blocked AS
    (
        SELECT
            service,
            environment,
            service_version,
            sum(calls) AS slow_polls,
            sum(parts.blocked_ns) AS blocked_time,
            uniqExact(toStartOfHour(at)) AS hours,
            toUInt64(max(parts.max_ns)) AS worst,
            sumMap(buckets) AS by_bucket,
            sum(parts.victims) AS waiting
        FROM parts
        GROUP BY service, environment, service_version
    ),
    heard AS
    (
        SELECT service, environment, service_version, min(first_seen) AS heard_first, max(last_seen) AS heard_last
        FROM
        (
            SELECT service, environment, service_version, first_seen, last_seen FROM services
            UNION ALL
            SELECT service, environment, service_version, first_seen, last_seen FROM heartbeats
        )
        GROUP BY service, environment, service_version
    )
SELECT
    service,
    service_version AS version,
    environment,
    toUnixTimestamp64Milli(heard.heard_first) AS first_seen_ms,
    toUnixTimestamp64Milli(heard.heard_last) AS last_seen_ms,
    slow_polls AS polls,
    blocked_time AS blocked_ns,
    blocked_time / greatest(1, hours) AS blocked_ns_an_hour,
    least(worst, toUInt64(exp2((arrayFirst((b, seen) -> seen >= 0.50 * slow_polls,
        mapKeys(by_bucket), arrayCumSum(mapValues(by_bucket))) + 0.5) / 8))) AS p50_ns,
    least(worst, toUInt64(exp2((arrayFirst((b, seen) -> seen >= 0.99 * slow_polls,
        mapKeys(by_bucket), arrayCumSum(mapValues(by_bucket))) + 0.5) / 8))) AS p99_ns,
    worst AS max_ns,
    waiting AS victims
FROM blocked
LEFT JOIN heard USING (service, environment, service_version)
ORDER BY first_seen_ms DESC, service, version, environment
LIMIT {limit:UInt32}
