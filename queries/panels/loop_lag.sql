-- title: Lag
-- description: The longest that a task which was ready waited for its poll, in the step.
-- reading: What requests wait before any of their code runs. It rises with held workers and with a queue.
-- column: time | time | start of the step
-- column: runtime | service, instance and runtime
-- column: lag_ns | ns | time it waited
-- cost: reads the range of one or two metrics in runtime_gauges
WITH
    reports AS
    (
        SELECT service, instance, runtime, metric, time AS told, value AS told_value
        FROM runtime_gauges
        WHERE metric IN ('holdup.runtime.lag')
            AND runtime != ''
            AND time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND (empty({instance:Array(String)}) OR instance IN {instance:Array(String)})
    ),
    largest AS
    (
        SELECT service, instance, runtime
        FROM reports
        WHERE metric = 'holdup.runtime.lag'
        GROUP BY service, instance, runtime
        ORDER BY max(told_value) DESC, service, instance, runtime
        LIMIT {limit:UInt32}
    )
SELECT
    toStartOfInterval(toDateTime(told, 'UTC'), toIntervalSecond({step:UInt32})) AS time,
    concat(service, ' ', instance, ' ', reports.runtime) AS runtime,
    toUInt64(max(told_value) * 1e9) AS lag_ns
FROM reports
WHERE (service, instance, reports.runtime) IN (SELECT * FROM largest)
GROUP BY time, service, instance, reports.runtime
ORDER BY time, runtime
