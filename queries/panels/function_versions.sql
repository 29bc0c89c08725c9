-- title: Versions of a function
-- description: What a function blocked in each version of its service, in the range: which deploy made it better or worse.
-- reading: Compare the median and the 99th percentile of two versions first: they don't depend on how long each ran.
-- column: service | the service
-- column: version | its version
-- column: first_seen_ms | unix ms | start of its first slow poll in the range
-- column: last_seen_ms | unix ms | start of its last
-- column: calls | count | slow polls
-- column: blocked_ns | ns | time that they held a thread
-- column: p50_ns | ns | median of them
-- column: p99_ns | ns | 99th percentile of them
-- column: max_ns | ns | the longest
-- column: victims | count | tasks that had to wait
-- column: instances | count | service instances that it was seen on
-- cost: reads the raw spans of one function in the range
SELECT
    service,
    service_version AS version,
    toUnixTimestamp64Milli(toDateTime64(min(start), 3, 'UTC')) AS first_seen_ms,
    toUnixTimestamp64Milli(toDateTime64(max(start), 3, 'UTC')) AS last_seen_ms,
    count() AS calls,
    sum(self_ns) AS blocked_ns,
    toUInt64(quantileExact(0.5)(self_ns)) AS p50_ns,
    toUInt64(quantileExact(0.99)(self_ns)) AS p99_ns,
    max(self_ns) AS max_ns,
    sum(poll_spans.victims) AS victims,
    uniqExact(instance) AS instances
FROM poll_spans FINAL
WHERE NOT stall
    AND start >= {from:DateTime64(3, 'UTC')} AND start < {to:DateTime64(3, 'UTC')}
    AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
    AND ({function:String} = '' OR function = {function:String})
    AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
    AND (empty({instance:Array(String)}) OR instance IN {instance:Array(String)})
GROUP BY service, version
ORDER BY last_seen_ms DESC, service, version
LIMIT {limit:UInt32}
