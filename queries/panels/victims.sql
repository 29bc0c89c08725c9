-- title: Victims
-- description: Tasks that were ready and had to wait while a poll held the thread: what a block costs others.
-- reading: Tasks that had nothing wrong with them.
-- column: time | time | start of the step
-- column: victims | count | tasks that had to wait
-- column: polls | count | slow polls that made one wait at least
-- cost: reads the raw spans of the range, by service and function when they are given
SELECT
    toStartOfInterval(toDateTime(start, 'UTC'), toIntervalSecond({step:UInt32})) AS time,
    sum(poll_spans.victims) AS victims,
    countIf(poll_spans.victims > 0) AS polls
FROM poll_spans FINAL
WHERE start >= {from:DateTime64(3, 'UTC')} AND start < {to:DateTime64(3, 'UTC')}
    AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
    AND ({function:String} = '' OR function = {function:String})
    AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
    AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
    AND (empty({instance:Array(String)}) OR instance IN {instance:Array(String)})
GROUP BY time
ORDER BY time
