-- title: Stacks while blocked
-- description: What the threads were doing while a function blocked them, the stack with most blocked time first.
-- column: stack_id | 16 hex digits, the same for the same stack on every host and build
-- column: function | the instrumented function
-- column: service | the service
-- column: frames | the frames, leaf first; empty when the stack itself is not stored
-- column: blame_function | the first frame outside std, libc and the runtime
-- column: blame_crate | the crate of that frame
-- column: cause | what most of its blocked time was spent on
-- column: calls | count | slow polls with this stack
-- column: blocked_ns | ns | time that they held a thread
-- column: last_seen_ms | unix ms | start of the last of them
-- cost: reads the raw spans of the range, by service and function when they are given
WITH
    seen AS
    (
        SELECT
            poll_spans.stack_id AS id,
            service,
            function,
            count() AS polls,
            sum(self_ns) AS blocked,
            max((self_ns, toString(blame_function), toString(blame_crate))) AS worst,
            sumMap(map(toString(cause), self_ns)) AS by_cause,
            max(start) AS latest
        FROM poll_spans FINAL
        WHERE poll_spans.stack_id != 0
            AND start >= {from:DateTime64(3, 'UTC')} AND start < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND ({function:String} = '' OR function = {function:String})
            AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
            AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
            AND (empty({instance:Array(String)}) OR instance IN {instance:Array(String)})
        GROUP BY id, service, function
        ORDER BY blocked DESC, id
        LIMIT {limit:UInt32}
    ),
    known AS
    (
        SELECT stacks.stack_id AS id, argMax(frames, seen) AS known_frames
        FROM stacks
        WHERE stacks.stack_id IN (SELECT id FROM seen)
        GROUP BY id
    )
SELECT
    lower(leftPad(hex(seen.id), 16, '0')) AS stack_id,
    function,
    service,
    known.known_frames AS frames,
    worst.2 AS blame_function,
    worst.3 AS blame_crate,
    arrayReverseSort((c, ns) -> ns, mapKeys(by_cause), mapValues(by_cause))[1] AS cause,
    polls AS calls,
    blocked AS blocked_ns,
    toUnixTimestamp64Milli(toDateTime64(latest, 3, 'UTC')) AS last_seen_ms
FROM seen
LEFT JOIN known ON known.id = seen.id
ORDER BY blocked_ns DESC, stack_id
