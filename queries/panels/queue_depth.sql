-- title: Queue
-- description: Tasks in the queue that all workers of a runtime share, the most in the step.
-- reading: A queue that does not get empty again has more work than workers.
-- column: time | time | start of the step
-- column: runtime | service, instance and runtime
-- column: queue | count | tasks that wait
-- cost: reads the range of one or two metrics in runtime_gauges
WITH
    reports AS
    (
        SELECT service, instance, runtime, metric, time AS told, value AS told_value
        FROM runtime_gauges
        WHERE metric IN ('holdup.runtime.queue')
            AND runtime != ''
            AND time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND (empty({instance:Array(String)}) OR instance IN {instance:Array(String)})
    ),
    largest AS
    (
        SELECT service, instance, runtime
        FROM reports
        WHERE metric = 'holdup.runtime.queue'
        GROUP BY service, instance, runtime
        ORDER BY max(told_value) DESC, service, instance, runtime
        LIMIT {limit:UInt32}
    )
SELECT
    toStartOfInterval(toDateTime(told, 'UTC'), toIntervalSecond({step:UInt32})) AS time,
    concat(service, ' ', instance, ' ', reports.runtime) AS runtime,
    toUInt64(max(told_value)) AS queue
FROM reports
WHERE (service, instance, reports.runtime) IN (SELECT * FROM largest)
GROUP BY time, service, instance, reports.runtime
ORDER BY time, runtime
