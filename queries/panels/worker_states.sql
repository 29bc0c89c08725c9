-- title: Workers while they were held
-- description: What held each worker of a runtime, from when to when: 0 free, else the cause's number; the last polls of the range.
-- reading: Rows that are coloured at the same time are a runtime without a free worker. Only the last polls of the range are drawn: choose a shorter range to see others.
-- column: time | time | when the state began
-- column: worker | instance, runtime and worker, or the thread
-- column: state | state | 0 free, 1 unknown, 2 cpu, 3 sleep, 4 lock, 5 disk, 6 net, 7 page_fault, 8 runqueue
-- cost: reads functions_1h in the range, and the raw spans of the last hours that have as many as are asked for, by service when it is given; of one instance, all of the range
WITH
    -- The whole hours from here on have enough polls, some more for those that began before. Hours don't tell instances.
    (
        SELECT max(hour)
        FROM
        (
            SELECT hour, sum(polls) OVER (ORDER BY hour DESC) AS so_far
            FROM
            (
                SELECT hour, sum(calls) AS polls
                FROM functions_1h
                WHERE hour >= {from:DateTime64(3, 'UTC')} AND hour + toIntervalHour(1) <= {to:DateTime64(3, 'UTC')}
                    AND empty({environment:Array(String)}) AND empty({version:Array(String)})
                    AND empty({instance:Array(String)})
                    AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
                    AND ({function:String} = '' OR function = {function:String})
                GROUP BY hour
            )
        )
        WHERE so_far >= {limit:UInt32} + 1000
    ) AS enough_from,
    held AS
    (
        SELECT
            start,
            start + toIntervalNanosecond(duration_ns) AS released,
            if(worker < 0, concat(instance, ' ', thread_name),
                concat(instance, ' ', runtime, ' ', toString(worker))) AS who,
            toUInt8(indexOf(['unknown', 'cpu', 'sleep', 'lock', 'disk', 'net', 'page_fault', 'runqueue'],
                toString(cause))) AS why
        FROM poll_spans FINAL
        WHERE start >= greatest({from:DateTime64(3, 'UTC')}, toDateTime64(assumeNotNull(enough_from), 3, 'UTC'))
            AND start < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND ({function:String} = '' OR function = {function:String})
            AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
            AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
            AND (empty({instance:Array(String)}) OR instance IN {instance:Array(String)})
        ORDER BY start DESC, span_id
        LIMIT {limit:UInt32}
    ),
    -- Where a worker is held again before it was free, which nested polls look like, the later one counts.
    changes AS
    (
        SELECT start AS changed, who, why FROM held
        UNION ALL
        SELECT released AS changed, who, 0 AS why FROM held
    )
SELECT
    toDateTime64(changed, 3, 'UTC') AS time,
    who AS worker,
    max(why) AS state
FROM changes
GROUP BY time, worker
ORDER BY time, worker
