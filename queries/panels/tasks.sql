-- title: Live tasks
-- description: What the last dump of each service instance lists: those that run, those that are ready, then the longest idle.
-- column: state | running, ready or idle
-- column: since_ns | ns | for how long
-- column: name | the instrumented function, or the task's name
-- column: file | source file of where it was made
-- column: line | line in it
-- column: task_id | number of tokio's task, 0 for others
-- column: polls | count | polls that have ended
-- column: busy_ns | ns | time of those
-- column: age_ns | ns | time since it was made
-- column: woken_ns | how long before the dump it was last woken, in nanoseconds; -1 for never, or not noted
-- column: service | the service
-- column: instance | the service instance
-- column: dumped_ms | unix ms | when the dump was made
-- column: reason | why: periodic, stall, stuck or signal
-- column: unknown | live tasks that the dump doesn't list; -1 where that isn't known
-- cost: reads the dumps of the range
SELECT
    state,
    since_ns,
    name,
    file,
    line,
    task_id,
    polls,
    busy_ns,
    age_ns,
    woken_ns,
    service,
    instance,
    toUnixTimestamp64Milli(time) AS dumped_ms,
    reason,
    unknown
FROM tasks
WHERE time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
    AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
    AND ({function:String} = '' OR name = {function:String})
    AND (empty({instance:Array(String)}) OR instance IN {instance:Array(String)})
    AND (service, instance, dump_id) IN
    (
        SELECT service, instance, argMax(dump_id, time)
        FROM tasks
        WHERE time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
        GROUP BY service, instance
    )
ORDER BY indexOf(['running', 'ready', 'idle'], state), since_ns DESC, service, instance, task_id
LIMIT {limit:UInt32}
