-- title: Callers
-- description: Who called the function while it blocked: the frame outside of its own, by blocked time.
-- reading: One caller with most of it is a call to change; many are the function itself.
-- column: caller | the frame; empty when its own is not in the stack, or is the outermost
-- column: blocked_ns | ns | blocked time that came from there
-- column: calls | count | slow polls that came from there
-- column: stacks | count | different stacks that came from there
-- cost: reads the raw spans of one function in the range, and their stacks
WITH
    seen AS
    (
        SELECT poll_spans.stack_id AS id, function, sum(self_ns) AS blocked, count() AS polls
        FROM poll_spans FINAL
        WHERE poll_spans.stack_id != 0
            AND start >= {from:DateTime64(3, 'UTC')} AND start < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND ({function:String} = '' OR function = {function:String})
            AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
            AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
            AND (empty({instance:Array(String)}) OR instance IN {instance:Array(String)})
        GROUP BY id, function
    ),
    known AS
    (
        SELECT stacks.stack_id AS id, argMax(frames, seen) AS known_frames
        FROM stacks
        WHERE stacks.stack_id IN (SELECT id FROM seen)
        GROUP BY id
    )
SELECT
    -- Leaf first: of its own frames the outermost counts, and the caller is the one after it.
    if(arrayLastIndex(f -> startsWith(f, function), known_frames) = 0, '',
        known_frames[arrayLastIndex(f -> startsWith(f, function), known_frames) + 1]) AS caller,
    sum(blocked) AS blocked_ns,
    sum(polls) AS calls,
    uniqExact(seen.id) AS stacks
FROM seen
LEFT JOIN known ON known.id = seen.id
GROUP BY caller
ORDER BY blocked_ns DESC, caller
LIMIT {limit:UInt32}
