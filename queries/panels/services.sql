-- title: Services
-- description: Which services have sent poll spans, with their versions and how long they blocked in the range.
-- column: service | the service
-- column: instances | count | instances ever seen
-- column: versions | versions ever seen
-- column: first_seen_ms | unix ms | first poll span at all
-- column: last_seen_ms | unix ms | last poll span at all
-- column: polls | count | slow polls in the range
-- column: blocked_ns | ns | time that they held a thread
-- cost: reads the table of services and the minutes of the range in functions_1m
WITH
    known AS
    (
        SELECT
            service,
            uniqMerge(instances) AS instances,
            arraySort(groupUniqArray(toString(service_version))) AS versions,
            min(first_seen) AS first_seen,
            max(last_seen) AS last_seen
        FROM services
        WHERE empty({service:Array(String)}) OR service IN {service:Array(String)}
        GROUP BY service
    ),
    in_range AS
    (
        SELECT service, sum(calls) AS polls, sum(blocked_ns) AS blocked
        FROM functions_1m
        WHERE minute >= toStartOfMinute({from:DateTime64(3, 'UTC')})
            AND minute < {to:DateTime64(3, 'UTC')}
        GROUP BY service
    )
SELECT
    service,
    known.instances AS instances,
    arrayFilter(v -> v != '', known.versions) AS versions,
    toUnixTimestamp64Milli(known.first_seen) AS first_seen_ms,
    toUnixTimestamp64Milli(known.last_seen) AS last_seen_ms,
    in_range.polls AS polls,
    in_range.blocked AS blocked_ns
FROM known
LEFT JOIN in_range USING (service)
ORDER BY blocked_ns DESC, service
LIMIT {limit:UInt32}
