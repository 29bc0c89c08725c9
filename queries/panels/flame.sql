-- title: Flame graph of blocked time
-- description: Blocked time by stack, root first; a frame's width is the time of the slow polls whose stacks went through it.
-- reading: Read from the top: width is time. The widest frame that is your own code is where to move work off the runtime.
-- column: level | depth, 0 for all
-- column: value | ns | blocked time in the frame and what it called
-- column: self | ns | blocked time in the frame itself
-- column: label | the frame
-- cost: reads the raw spans of the range, by service and function when they are given, and their stacks
WITH
    seen AS
    (
        SELECT poll_spans.stack_id AS id, sum(self_ns) AS blocked
        FROM poll_spans FINAL
        WHERE poll_spans.stack_id != 0 AND NOT stall
            AND start >= {from:DateTime64(3, 'UTC')} AND start < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND ({function:String} = '' OR function = {function:String})
            AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
            AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
            AND (empty({instance:Array(String)}) OR instance IN {instance:Array(String)})
        GROUP BY id
        ORDER BY blocked DESC, id
        LIMIT {limit:UInt32}
    ),
    known AS
    (
        SELECT stacks.stack_id AS id, argMax(frames, seen) AS known_frames
        FROM stacks
        WHERE stacks.stack_id IN (SELECT id FROM seen)
        GROUP BY id
    ),
    rooted AS
    (
        SELECT arrayPushFront(arrayReverse(known_frames), 'all') AS stack, sum(blocked) AS stack_ns
        FROM seen
        INNER JOIN known ON known.id = seen.id
        WHERE notEmpty(known_frames)
        GROUP BY stack
    ),
    prefixes AS
    (
        SELECT
            arrayJoin(arrayMap(i -> arraySlice(stack, 1, i), arrayEnumerate(stack))) AS path,
            sum(stack_ns) AS path_ns,
            sumIf(stack_ns, length(path) = length(stack)) AS own_ns
        FROM rooted
        GROUP BY path
    )
SELECT
    toInt64(length(path) - 1) AS level,
    path_ns AS value,
    own_ns AS self,
    path[-1] AS label
FROM prefixes
-- Arrays are ordered element by element: that is depth first.
ORDER BY path
