-- title: Services
-- description: Which services have sent poll spans or metrics, with their versions and how long they blocked in the range.
-- column: service | the service
-- column: instances | count | instances ever seen
-- column: versions | versions ever seen
-- column: first_seen_ms | unix ms | first heard of at all
-- column: last_seen_ms | unix ms | last heard of at all: services that are watched report although nothing is slow
-- column: polls | count | slow polls in the range
-- column: blocked_ns | ns | time that they held a thread
-- cost: reads the tables of services and heartbeats and the minutes of the range in functions_1m
WITH
    known AS
    (
        SELECT
            service,
            uniqMerge(heard_instances) AS instances,
            arraySort(groupUniqArray(version)) AS versions,
            min(heard_first) AS first_seen,
            max(heard_last) AS last_seen
        FROM
        (
            SELECT
                service,
                toString(service_version) AS version,
                first_seen AS heard_first,
                last_seen AS heard_last,
                instances AS heard_instances
            FROM services
            WHERE empty({service:Array(String)}) OR service IN {service:Array(String)}
            UNION ALL
            SELECT
                service,
                toString(service_version) AS version,
                min(first_seen) AS heard_first,
                max(last_seen) AS heard_last,
                uniqState(toString(instance)) AS heard_instances
            FROM heartbeats
            WHERE empty({service:Array(String)}) OR service IN {service:Array(String)}
            GROUP BY service, service_version
        )
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
