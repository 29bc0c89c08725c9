-- title: Slow polls of one function
-- description: The single polls behind the episodes of a function, the newest first.
-- column: function | the instrumented function
-- column: service | the service
-- column: start_ms | unix ms | start of the poll
-- column: duration_ns | ns | its duration, nested instrumented polls included
-- column: self_ns | ns | its duration less that of nested instrumented polls
-- column: cpu_ns | ns | of it on a CPU; 0 when not measured
-- column: runqueue_ns | ns | of it ready without a CPU; 0 when not measured
-- column: threshold_ns | ns | the threshold in force
-- column: cause | why it took long
-- column: thread_id | number of the OS thread
-- column: thread_name | its name
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
-- column: stack_id | 16 hex digits; empty when no stack was taken
-- column: blame_function | the first frame outside std, libc and the runtime
-- column: victims | count | tasks that had to wait
-- column: task_name | the task's name
-- column: holder_evidence | `owner`: the lock names it; `address`: the lock is on its stack alone
-- cost: reads the raw spans of one function in the range
SELECT
    function,
    service,
    toUnixTimestamp64Milli(start) AS start_ms,
    duration_ns,
    self_ns,
    cpu_ns,
    runqueue_ns,
    threshold_ns,
    cause,
    thread_id,
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
    if(poll_spans.stack_id = 0, '', lower(leftPad(hex(poll_spans.stack_id), 16, '0'))) AS stack_id,
    blame_function,
    victims,
    task_name,
    holder_evidence
FROM poll_spans FINAL
WHERE start >= {from:DateTime64(3, 'UTC')} AND start < {to:DateTime64(3, 'UTC')}
    AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
    AND ({function:String} = '' OR function = {function:String})
    AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
    AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
    AND (empty({instance:Array(String)}) OR instance IN {instance:Array(String)})
ORDER BY start DESC, poll_spans.span_id
LIMIT {limit:UInt32}
