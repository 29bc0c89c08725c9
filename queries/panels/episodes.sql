-- title: Blocking episodes
-- description: Runs of slow polls of one function in one service instance, the newest first.
-- column: episode_id | 16 hex digits
-- column: service | the service
-- column: instance | the service instance
-- column: version | the service's version
-- column: function | the instrumented function
-- column: state | open while polls may still join it, else closed
-- column: started_ms | unix ms | start of its first poll
-- column: ended_ms | unix ms | end of its last poll so far
-- column: polls | count | slow polls in it
-- column: blocked_ns | ns | time that they held a thread
-- column: max_ns | ns | the longest of them
-- column: cause | the cause of the longest
-- column: blame_function | the function that the longest blames
-- column: stack_id | 16 hex digits, of the longest; empty when no stack was taken
-- column: victims | count | tasks that had to wait
-- column: worst_trace_id | trace of the longest
-- column: worst_span_id | span of the longest
-- cost: reads the episodes of the range, by service and function when they are given
SELECT
    lower(leftPad(hex(episode_id), 16, '0')) AS episode_id,
    service,
    instance,
    service_version AS version,
    function,
    if(closed, 'closed', 'open') AS state,
    toUnixTimestamp64Milli(started) AS started_ms,
    toUnixTimestamp64Milli(ended) AS ended_ms,
    polls,
    blocked_ns,
    max_ns,
    cause,
    blame_function,
    if(stack_id = 0, '', lower(leftPad(hex(stack_id), 16, '0'))) AS stack_id,
    victims,
    lower(hex(worst_trace_id)) AS worst_trace_id,
    lower(hex(worst_span_id)) AS worst_span_id
FROM episodes FINAL
WHERE ended >= {from:DateTime64(3, 'UTC')} AND started < {to:DateTime64(3, 'UTC')}
    AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
    AND ({function:String} = '' OR function = {function:String})
    AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
    AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
    AND (empty({instance:Array(String)}) OR instance IN {instance:Array(String)})
ORDER BY started DESC, episodes.episode_id
LIMIT {limit:UInt32}
