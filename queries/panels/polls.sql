-- title: Slow polls of one function
-- description: The single polls behind the episodes of a function, the newest first.
-- column: start_ms | unix ms | start of the poll
-- column: duration_ns | ns | its duration, nested instrumented polls included
-- column: self_ns | ns | its duration less that of nested instrumented polls
-- column: cpu_ns | ns | of it on a CPU; 0 when not measured
-- column: runqueue_ns | ns | of it ready without a CPU; 0 when not measured
-- column: threshold_ns | ns | the threshold in force
-- column: cause | why it took long
-- column: thread_name | the OS thread
-- column: worker | index of the runtime's worker, -1 when not on one
-- column: trace_id | its trace
-- column: span_id | its span
-- column: instance | the service instance
-- column: stall | true when it has not returned yet
-- cost: reads the raw spans of one function in the range
SELECT
    toUnixTimestamp64Milli(start) AS start_ms,
    duration_ns,
    self_ns,
    cpu_ns,
    runqueue_ns,
    threshold_ns,
    cause,
    thread_name,
    worker,
    lower(hex(trace_id)) AS trace_id,
    lower(hex(span_id)) AS span_id,
    instance,
    stall
FROM poll_spans FINAL
WHERE start >= {from:DateTime64(3, 'UTC')} AND start < {to:DateTime64(3, 'UTC')}
    AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
    AND ({function:String} = '' OR function = {function:String})
ORDER BY start DESC, poll_spans.span_id
LIMIT {limit:UInt32}
