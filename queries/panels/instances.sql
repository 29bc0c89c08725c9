-- title: Instances
-- description: Where it blocks: one instance only is a noisy neighbour or bad data, all of them is the code.
-- reading: A share of runqueue near 100 % is a machine that is too full, not the code.
-- column: instance | the service instance
-- column: service | the service
-- column: version | its version
-- column: environment | where it runs
-- column: polls | count | slow polls in the range
-- column: blocked_ns | ns | time that they held threads
-- column: max_ns | ns | the longest
-- column: runqueue_share | share | 0 to 1 of their time that the OS gave them no CPU
-- column: victims | count | tasks that had to wait
-- column: last_seen_ms | unix ms | start of the last of them
-- cost: reads the raw spans of the range, by service and function when they are given
SELECT
    instance,
    service,
    service_version AS version,
    environment,
    count() AS polls,
    sum(self_ns) AS blocked_ns,
    max(self_ns) AS max_ns,
    sum(runqueue_ns) / greatest(1, sum(duration_ns)) AS runqueue_share,
    sum(poll_spans.victims) AS victims,
    toUnixTimestamp64Milli(max(start)) AS last_seen_ms
FROM poll_spans FINAL
WHERE start >= {from:DateTime64(3, 'UTC')} AND start < {to:DateTime64(3, 'UTC')}
    AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
    AND ({function:String} = '' OR function = {function:String})
    AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
    AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
    AND (empty({instance:Array(String)}) OR instance IN {instance:Array(String)})
GROUP BY instance, service, version, environment
ORDER BY blocked_ns DESC, instance, service, version, environment
LIMIT {limit:UInt32}
