-- Made-up poll spans, the same for the same parameters. Polls come in runs of one function in one instance, because
-- that is how real ones come; a few functions of a few services have most of them. One call fills one slice of the time.
INSERT INTO poll_spans
(
    start, duration_ns, self_ns, cpu_ns, runqueue_ns, threshold_ns, service, environment, service_version, instance,
    function, file, line, cause, blame_function, blame_crate, stack_id, victims, thread_id, thread_name, runtime,
    worker, task_id, task_name, task_spawned_at, stall, trace_id, span_id, parent_span_id, scope_version
)
WITH
    -- A number from 0 to 1 of the run, or of the poll.
    (of, salt) -> sipHash64({seed:UInt64}, of, salt) / 18446744073709551616. AS chance,
    -- In whole microseconds, as the collector stores them.
    (ns) -> intDiv(ns, 1000) * 1000 AS cut,
    intDiv(number, {run:UInt64}) AS run_no,
    toUInt64(floor({services:UInt64} * pow(chance(run_no, 1), 2))) AS service_no,
    toUInt64(floor(intDiv({functions:UInt64}, {services:UInt64}) * pow(chance(run_no, 2), 2))) AS function_no,
    toUnixTimestamp({end:DateTime('UTC')}) * 1000000000 AS end_ns,
    {days:UInt64} * 86400000000000 AS range_ns,
    -- The last run ends before the range does.
    (range_ns - 60000000000 - {run:UInt64} * 250000000) AS usable_ns,
    end_ns - range_ns + toUInt64(usable_ns / {chunks:UInt64} * ({chunk:UInt64} + chance(run_no, 3))) AS run_ns,
    toUInt64(10000000 * exp2(8 * pow(chance(number, 4), 3))) AS taken_ns,
    ['cpu', 'sleep', 'lock', 'disk', 'net', 'page_fault', 'runqueue'][(service_no * 7 + function_no * 3) % 7 + 1] AS why,
    concat('dep_', toString(function_no % 12)) AS dependency,
    concat('app_', toString(service_no)) AS app,
    sipHash64({seed:UInt64}, number) AS dice
SELECT
    fromUnixTimestamp64Nano(toInt64(cut(run_ns + number % {run:UInt64} * 200000000 + dice % 50000000)), 'UTC'),
    cut(taken_ns + dice % 100000),
    cut(taken_ns),
    cut(if(why = 'cpu', taken_ns - dice % 1000000, dice % 1000000)),
    cut(if(why = 'runqueue', taken_ns - dice % 2000000, dice % 500000)),
    10000000,
    concat('service-', toString(service_no)),
    if(service_no % 10 = 9, 'staging', 'production'),
    if(end_ns - run_ns > range_ns * (0.2 + 0.6 * chance(service_no, 5)), '1.0.0', '1.1.0'),
    concat('service-', toString(service_no), '-', toString(sipHash64(run_no, 6) % 5)),
    concat(app, '::handlers::handler_', toString(function_no)),
    concat('src/handlers/handler_', toString(function_no), '.rs'),
    20 + function_no,
    why,
    concat(dependency, '::io::work'),
    dependency,
    if(dice % 10 = 0, 0, sipHash64(service_no, function_no, dice % 3)),
    if(dice % 4 = 0, dice % 5, 0),
    1000 + sipHash64(run_no, 7) % 8,
    'tokio-rt-worker',
    'main',
    sipHash64(run_no, 7) % 8,
    run_no,
    '',
    'src/main.rs:12:5',
    false,
    unhex(leftPad(hex(sipHash128(number, 8)), 32, '0')),
    unhex(leftPad(hex(sipHash64(number, 9)), 16, '0')),
    unhex('0000000000000000'),
    '0.1.0'
FROM numbers_mt({chunk:UInt64} * {spans:UInt64}, {spans:UInt64})
SETTINGS max_partitions_per_insert_block = 100, max_insert_threads = 2
