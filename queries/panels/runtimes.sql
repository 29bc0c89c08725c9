-- title: Runtimes
-- description: How the tokio runtimes of services do, by what they reported last in the range.
-- column: service | the service
-- column: instance | the service instance
-- column: version | the version that the instance was last heard of in
-- column: runtime | the runtime's name
-- column: workers | count | its workers
-- column: busy | share | 0 to 1 of the workers' time in the range that they were not parked
-- column: tasks | count | tasks that have not ended
-- column: queue | count | tasks in the queue that all workers share
-- column: parks | count | times that a worker parked in the range
-- column: lag_ns | ns | the longest in the range that a task which was ready waited for its poll
-- column: coverage | share | 0 to 1 of the busy time that was inside of watched polls
-- column: last_seen_ms | unix ms | its last report
-- cost: reads the range in runtime_gauges, and heartbeats
WITH
    versions AS
    (
        SELECT service, instance, argMax(toString(service_version), last_seen) AS its_version
        FROM heartbeats
        WHERE empty({service:Array(String)}) OR service IN {service:Array(String)}
        GROUP BY service, instance
    ),
    reports AS
    (
        SELECT
            service,
            instance,
            runtime,
            argMaxIf(value, time, metric = 'holdup.runtime.workers') AS its_workers,
            sumIf(value, metric = 'holdup.runtime.busy') AS busy_s,
            argMaxIf(value, time, metric = 'holdup.runtime.tasks') AS its_tasks,
            argMaxIf(value, time, metric = 'holdup.runtime.queue') AS its_queue,
            sumIf(value, metric = 'holdup.runtime.parks') AS its_parks,
            maxIf(value, metric = 'holdup.runtime.lag') AS lag_s,
            argMaxIf(value, time, metric = 'holdup.runtime.coverage') AS its_coverage,
            min(time) AS first_time,
            max(time) AS last_time,
            uniqExact(time) AS times
        FROM runtime_gauges
        WHERE time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
            AND runtime != ''
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
        GROUP BY service, instance, runtime
    )
SELECT
    service,
    instance,
    its_version AS version,
    runtime,
    toUInt64(its_workers) AS workers,
    -- Each report tells of the time since the one before; the first one of about as long as the others.
    if(times < 2 OR its_workers = 0, 0, least(1, busy_s / its_workers
        / ((toUnixTimestamp64Milli(last_time) - toUnixTimestamp64Milli(first_time)) / 1000
            * times / (times - 1)))) AS busy,
    toUInt64(its_tasks) AS tasks,
    toUInt64(its_queue) AS queue,
    toUInt64(its_parks) AS parks,
    toUInt64(lag_s * 1e9) AS lag_ns,
    its_coverage AS coverage,
    toUnixTimestamp64Milli(last_time) AS last_seen_ms
FROM reports
LEFT JOIN versions USING (service, instance)
ORDER BY lag_ns DESC, service, instance, runtime
LIMIT {limit:UInt32}
