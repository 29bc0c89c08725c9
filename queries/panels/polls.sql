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
-- column: throttled_ns | ns | of it kept from a CPU by the container's quota
-- column: runtime_stalled | true when every worker of the runtime was held at once
-- column: driver_idle | true when the runtime's I/O and timers waited as well
-- column: sampled | true when nobody watched it: a worker was seen to be held
-- column: holder_thread_name | the thread that held the lock it waited for; empty when not known
-- column: holder_function | the function to blame of that thread's stack
-- column: holder_evidence | `owner`: the lock names it; `address`: the lock is on its stack alone
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
    stall,
    throttled_ns,
    runtime_stalled,
    driver_idle,
    sampled,
    holder_thread_name,
    holder_function,
    holder_evidence
FROM poll_spans FINAL
WHERE start >= {from:DateTime64(3, 'UTC')} AND start < {to:DateTime64(3, 'UTC')}
    AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
    AND ({function:String} = '' OR function = {function:String})
ORDER BY start DESC, poll_spans.span_id
LIMIT {limit:UInt32}
