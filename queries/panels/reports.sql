-- title: What senders say of themselves
-- description: Counts that services report: slow polls that became records, that the budget of reports left out, that were allowed, findings, handlers.
-- reading: holdup.poll.suppressed and holdup.poll.dropped above 0: not everything arrived.
-- column: time | time | start of the step
-- column: metric | the metric
-- column: amount | count | how many in the step
-- cost: reads the range of the metrics of processes in runtime_gauges
SELECT
    toStartOfInterval(toDateTime(told, 'UTC'), toIntervalSecond({step:UInt32})) AS time,
    toString(metric) AS metric,
    toUInt64(sum(told_value)) AS amount
FROM
(
    SELECT runtime_gauges.time AS told, runtime_gauges.metric AS metric, value AS told_value
    FROM runtime_gauges
    WHERE runtime = ''
        -- Those of runtimes are most of the table; the key knows where they are.
        AND (runtime_gauges.metric < 'holdup.runtime.' OR runtime_gauges.metric >= 'holdup.runtime/')
        AND runtime_gauges.time >= {from:DateTime64(3, 'UTC')} AND runtime_gauges.time < {to:DateTime64(3, 'UTC')}
        AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
)
GROUP BY time, metric
ORDER BY time, metric
