-- title: Stalled
-- description: Polls that had not returned when the range ended and lasted for half a second at least, the longest first: each holds a thread.
-- reading: One that grows from refresh to refresh is a deadlock or a call that never ends; restart the instance after taking `holdup dump` of it.
-- column: service | the service
-- column: function | the instrumented function
-- column: blocked_ns | ns | for how long, as of its last report
-- column: cause | why
-- column: blame_function | the first frame outside std, libc and the runtime
-- column: victims | count | tasks that were ready and had to wait
-- column: instance | the service instance
-- column: thread_name | the OS thread
-- column: worker | index of the runtime's worker, -1 when not on one
-- column: started_ms | unix ms | when it began
-- column: trace_id | its trace
-- column: span_id | its span
-- cost: reads the blocks of raw spans in which some have not returned, and the keys of those
WITH
    {to:DateTime64(3, 'UTC')} AS range_to,
    -- The longest time between two reports of one stall, and of their way here.
    150000 AS report_ms,
    -- A poll blocks now when it has not returned and at least this is known of it: the end of a shorter one may be on its way.
    500000000 AS certain_ns,
    -- Looked for once, and before their ends: a merge takes reports away that an end has replaced.
    (
        SELECT groupArray((service_of, function_of, start, span_id, last_form))
        FROM
        (
            SELECT
                toString(service) AS service_of, toString(function) AS function_of, start, span_id,
                argMax((self_ns, toString(cause), toString(blame_function), poll_spans.victims, toString(instance),
                    toString(thread_name), worker, trace_id), form) AS last_form
            FROM poll_spans
            WHERE stall AND start < range_to
                AND start + toIntervalMillisecond(intDiv(duration_ns, 1000000) + report_ms) >= range_to
                AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
                AND ({function:String} = '' OR function = {function:String})
                AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
                AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
                AND (empty({instance:Array(String)}) OR instance IN {instance:Array(String)})
            GROUP BY service, function, start, span_id
        )
    ) AS reported,
    returned AS
    (
        SELECT toString(service), toString(function), start, span_id
        FROM poll_spans
        WHERE NOT stall
            AND service IN (SELECT arrayJoin(reported).1)
            AND function IN (SELECT arrayJoin(reported).2)
            AND start IN (SELECT arrayJoin(reported).3)
    )
SELECT
    report.1 AS service,
    report.2 AS function,
    last_form.1 AS blocked_ns,
    last_form.2 AS cause,
    last_form.3 AS blame_function,
    last_form.4 AS victims,
    last_form.5 AS instance,
    last_form.6 AS thread_name,
    last_form.7 AS worker,
    toUnixTimestamp64Milli(report.3) AS started_ms,
    lower(hex(last_form.8)) AS trace_id,
    lower(hex(report.4)) AS span_id
FROM (SELECT arrayJoin(reported) AS report, report.5 AS last_form)
WHERE (report.1, report.2, report.3, report.4) NOT IN (SELECT * FROM returned)
    AND last_form.1 >= certain_ns
ORDER BY blocked_ns DESC, service, function, report.4
LIMIT {limit:UInt32}
