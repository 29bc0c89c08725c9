-- The episodes of the made-up polls of one day: one a run.
INSERT INTO episodes
(
    episode_id, service, environment, service_version, instance, function, started, ended, closed, polls, stalled,
    blocked_ns, max_ns, victims, cause, blame_function, blame_crate, stack_id, worst_trace_id, worst_span_id,
    revision, is_deleted
)
SELECT
    sipHash64(task_id, service, function),
    service,
    any(environment),
    any(service_version),
    instance,
    function,
    min(start),
    max(start + toIntervalNanosecond(duration_ns)) AS last_end,
    last_end < {end:DateTime('UTC')} - toIntervalMinute(5),
    count(),
    countIf(stall),
    sum(self_ns),
    max(self_ns),
    sum(poll_spans.victims),
    argMax(cause, self_ns),
    argMax(blame_function, self_ns),
    argMax(blame_crate, self_ns),
    argMax(stack_id, self_ns),
    argMax(trace_id, self_ns),
    argMax(span_id, self_ns),
    1,
    0
FROM poll_spans
WHERE NOT stall
    AND start >= {end:DateTime('UTC')} - toIntervalDay({day:UInt64} + 1)
    AND start < {end:DateTime('UTC')} - toIntervalDay({day:UInt64})
GROUP BY task_id, service, function, instance
SETTINGS max_partitions_per_insert_block = 100
