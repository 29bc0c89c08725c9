-- title: Coverage
-- description: Share of the workers' busy time that was inside of watched polls: what is outside, Holdup does not see.
-- reading: Below half, most of what workers do is not instrumented, and blocks there are not named.
-- column: time | time | start of the step
-- column: runtime | service, instance and runtime
-- column: coverage | share | 0 to 1 of the busy time, the least in the step
-- cost: reads the range of one or two metrics in runtime_gauges
WITH
    reports AS
    (
        SELECT service, instance, runtime, metric, time AS told, value AS told_value
        FROM runtime_gauges
        WHERE metric IN ('holdup.runtime.coverage')
            AND runtime != ''
            AND time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND (empty({instance:Array(String)}) OR instance IN {instance:Array(String)})
    ),
    largest AS
    (
        SELECT service, instance, runtime
        FROM reports
        WHERE metric = 'holdup.runtime.coverage'
        GROUP BY service, instance, runtime
        ORDER BY max(told_value) DESC, service, instance, runtime
        LIMIT {limit:UInt32}
    )
SELECT
    toStartOfInterval(toDateTime(told, 'UTC'), toIntervalSecond({step:UInt32})) AS time,
    concat(service, ' ', instance, ' ', reports.runtime) AS runtime,
    min(told_value) AS coverage
FROM reports
WHERE (service, instance, reports.runtime) IN (SELECT * FROM largest)
GROUP BY time, service, instance, reports.runtime
ORDER BY time, runtime
