-- title: Workers busy
-- description: Share of its workers' time that a runtime did not park them; near 1 there is no room.
-- reading: Near 100 % every further task waits. Low with a high lag means that few workers are held for long.
-- column: time | time | start of the step
-- column: runtime | service, instance and runtime
-- column: busy | share | 0 to 1 of the workers' time in the step
-- cost: reads the range of one or two metrics in runtime_gauges
WITH
    reports AS
    (
        SELECT service, instance, runtime, metric, time AS told, value AS told_value
        FROM runtime_gauges
        WHERE metric IN ('holdup.runtime.busy', 'holdup.runtime.workers')
            AND runtime != ''
            AND time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND (empty({instance:Array(String)}) OR instance IN {instance:Array(String)})
    ),
    largest AS
    (
        SELECT service, instance, runtime
        FROM reports
        WHERE metric = 'holdup.runtime.busy'
        GROUP BY service, instance, runtime
        ORDER BY max(told_value) DESC, service, instance, runtime
        LIMIT {limit:UInt32}
    )
SELECT
    toStartOfInterval(toDateTime(told, 'UTC'), toIntervalSecond({step:UInt32})) AS time,
    concat(service, ' ', instance, ' ', reports.runtime) AS runtime,
    if(maxIf(told_value, metric = 'holdup.runtime.workers') = 0, 0,
        least(1, sumIf(told_value, metric = 'holdup.runtime.busy')
            / maxIf(told_value, metric = 'holdup.runtime.workers') / {step:UInt32})) AS busy
FROM reports
WHERE (service, instance, reports.runtime) IN (SELECT * FROM largest)
GROUP BY time, service, instance, reports.runtime
ORDER BY time, runtime
