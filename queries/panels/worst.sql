-- title: Worst blocks
-- description: The longest polls of the range, one an episode, with where to look.
-- column: max_ns | ns | the poll's self time
-- column: service | the service
-- column: function | the instrumented function
-- column: cause | why
-- column: blame_function | the first frame outside std, libc and the runtime
-- column: polls | count | slow polls of its episode
-- column: victims | count | tasks that had to wait in it
-- column: instance | the service instance
-- column: version | the service's version
-- column: started_ms | unix ms | when its episode began
-- column: trace_id | the poll's trace
-- cost: reads the episodes of the days of the range
SELECT
    max_ns,
    service,
    function,
    cause,
    blame_function,
    polls,
    episodes.victims AS victims,
    instance,
    service_version AS version,
    toUnixTimestamp64Milli(started) AS started_ms,
    lower(hex(worst_trace_id)) AS trace_id
FROM episodes FINAL
WHERE ended >= {from:DateTime64(3, 'UTC')} AND started < {to:DateTime64(3, 'UTC')}
    -- Of days before the range nothing is read, unless an episode of theirs lasted into it.
    AND started >= ifNull(
        (SELECT minOrNull(started) FROM episodes
            WHERE ended >= {from:DateTime64(3, 'UTC')} AND started < {from:DateTime64(3, 'UTC')}),
        {from:DateTime64(3, 'UTC')})
    AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
    AND ({function:String} = '' OR function = {function:String})
    AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
    AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
    AND (empty({instance:Array(String)}) OR instance IN {instance:Array(String)})
ORDER BY max_ns DESC, started DESC, episode_id
LIMIT {limit:UInt32}
