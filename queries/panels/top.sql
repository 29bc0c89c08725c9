-- title: Functions by blocked time
-- description: Which functions held runtime threads, the worst first, by polls that ended in the range or still block.
-- reading: The first rows are worth the time. First seen tells whether a deploy brought it, share over whether every call is slow or some are.
-- column: function | the instrumented function
-- column: service | the service it runs in
-- column: file | source file of the function
-- column: line | source line of the function
-- column: blocked_ns | ns | time that its slow polls held a thread, nested instrumented polls left out
-- column: calls | count | polls at or over the threshold
-- column: max_ns | ns | the longest of them
-- column: p50_ns | ns | median of them, from buckets 9 % wide
-- column: p99_ns | ns | 99th percentile of them, from buckets 9 % wide
-- column: cause | what most of the blocked time was spent on
-- column: blame_function | the first frame outside std, libc and the runtime, of the longest poll that has one
-- column: blame_crate | the crate of that frame
-- column: instances | count | service instances that it was seen on
-- column: trend | pairs of unix ms and ns blocked in the step that begins there
-- column: first_seen_ms | unix ms | first seen at all, in any range
-- column: last_seen_ms | unix ms | last seen at all
-- column: stalled | count | polls that have not returned yet, and lasted for half a second at least
-- column: share_over | share | 0 to 1 of all polls of the function in the range that reached the threshold; 0 when not measured
-- cost: reads the range in functions_1m, or in functions_1h where steps are hours, and the blocks of raw spans in which some have not returned; details are read of the functions that are shown
WITH
    {from:DateTime64(3, 'UTC')} AS range_from,
    {to:DateTime64(3, 'UTC')} AS range_to,
    -- Whole hours of the range come from the rollup by hour where steps are hours, its ends from that by minute.
    if({step:UInt32} < 3600, toDateTime(range_to), toStartOfHour(toDateTime(range_from) + 3599)) AS hours_from,
    if({step:UInt32} < 3600, toDateTime(range_to), toStartOfHour(toDateTime(range_to))) AS hours_to,
    -- The longest time between two reports of one stall, and of their way here.
    150000 AS report_ms,
    -- A poll blocks now when it has not returned and at least this is known of it: the end of a shorter one may be on its way.
    500000000 AS certain_ns,
    -- What is used more than once is a scalar: it is found once.
    (
        SELECT groupArray((service_of, function_of, start, span_id, last_form))
        FROM
        (
            SELECT
                toString(service) AS service_of, toString(function) AS function_of, start, span_id,
                argMax((self_ns, toString(cause), toString(blame_function), toString(blame_crate),
                    toString(file), line, toString(instance)), form) AS last_form
            FROM poll_spans
            WHERE stall AND start < range_to
                AND start + toIntervalMillisecond(intDiv(duration_ns, 1000000) + report_ms) >= range_from
                AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
                AND ({function:String} = '' OR function = {function:String})
            GROUP BY service, function, start, span_id
        )
    ) AS reported,
    (
        SELECT groupArray((toString(service), toString(function), start, span_id))
        FROM poll_spans
        WHERE NOT stall
            AND service IN (SELECT arrayJoin(reported).1)
            AND function IN (SELECT arrayJoin(reported).2)
            AND start IN (SELECT arrayJoin(reported).3)
    ) AS returned,
    unfinished AS
    (
        SELECT arrayJoin(reported) AS report, report.1 AS service, report.2 AS function, report.5 AS last_form
        WHERE (report.1, report.2, report.3, report.4)
            NOT IN (SELECT had.1, had.2, had.3, had.4 FROM (SELECT arrayJoin(returned) AS had))
    ),
    (
        SELECT groupArray((name_of_service, name_of_function))
        FROM
        (
            SELECT toString(service) AS name_of_service, toString(function) AS name_of_function
            FROM
            (
                SELECT service, function, blocked_ns
                FROM functions_1m
                WHERE minute >= toStartOfMinute(range_from) AND minute < range_to
                    AND (minute < hours_from OR minute >= hours_to)
                    AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
                    AND ({function:String} = '' OR function = {function:String})
                UNION ALL
                SELECT service, function, blocked_ns
                FROM functions_1h
                WHERE {step:UInt32} >= 3600 AND hour >= hours_from AND hour < hours_to
                    AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
                    AND ({function:String} = '' OR function = {function:String})
                UNION ALL
                SELECT service, function, last_form.1 AS blocked_ns FROM unfinished
            )
            GROUP BY service, function
            ORDER BY sum(blocked_ns) DESC, service, function
            LIMIT {limit:UInt32}
        )
    ) AS first_ones,
    shown AS
    (
        SELECT arrayJoin(first_ones) AS pair, pair.1 AS its_service, pair.2 AS its_function
    ),
    finished_and_blocked AS
    (
        SELECT
            minute AS at, service, function, calls, blocked_ns, max_ns, buckets, causes,
            toString(file) AS file, line, blame, instances, toUInt64(0) AS stalled
        FROM functions_1m
        WHERE minute >= toStartOfMinute(range_from) AND minute < range_to
            AND (minute < hours_from OR minute >= hours_to)
            AND (service, function) IN (SELECT its_service, its_function FROM shown)
        UNION ALL
        SELECT
            hour AS at, service, function, calls, blocked_ns, max_ns, buckets, causes,
            toString(file) AS file, line, blame, instances, toUInt64(0) AS stalled
        FROM functions_1h
        WHERE {step:UInt32} >= 3600 AND hour >= hours_from AND hour < hours_to
            AND (service, function) IN (SELECT its_service, its_function FROM shown)
        UNION ALL
        SELECT
            toStartOfMinute(greatest(toDateTime(report.3), toDateTime(range_from))), service, function,
            1, last_form.1, last_form.1,
            map(toUInt16(floor(log2(greatest(last_form.1, 1)) * 8)), toUInt64(1)),
            map(last_form.2, last_form.1),
            last_form.5, last_form.6, (last_form.1, last_form.3, last_form.4),
            arrayReduce('uniqState', [last_form.7]), last_form.1 >= certain_ns
        FROM unfinished
        WHERE (service, function) IN (SELECT its_service, its_function FROM shown)
    ),
    ranked AS
    (
        SELECT
            service,
            function,
            anyLast(file) AS site_file,
            anyLast(line) AS site_line,
            sum(blocked_ns) AS blocked,
            sum(calls) AS polls,
            toUInt64(max(max_ns)) AS worst,
            sumMap(buckets) AS by_bucket,
            sumMap(causes) AS by_cause,
            max(blame) AS blamed,
            uniqMerge(instances) AS seen_on,
            sumMap(map(
                toUnixTimestamp(toStartOfInterval(at, toIntervalSecond({step:UInt32}))) * 1000,
                blocked_ns)) AS by_step,
            sum(stalled) AS unfinished_polls
        FROM finished_and_blocked
        GROUP BY service, function
    ),
    measured AS
    (
        SELECT service, function, sum(told) AS all_polls
        FROM
        (
            SELECT service, function, poll_histograms.calls AS told
            FROM poll_histograms
            WHERE minute >= toStartOfMinute(range_from) AND minute < range_to
                AND (minute < hours_from OR minute >= hours_to)
                AND (service, function) IN (SELECT its_service, its_function FROM shown)
            UNION ALL
            SELECT service, function, polls_1h.calls AS told
            FROM polls_1h
            WHERE {step:UInt32} >= 3600 AND hour >= hours_from AND hour < hours_to
                AND (service, function) IN (SELECT its_service, its_function FROM shown)
        )
        GROUP BY service, function
    ),
    known AS
    (
        SELECT service, function, min(first_seen) AS first_seen, max(last_seen) AS last_seen
        FROM functions
        WHERE (service, function) IN (SELECT its_service, its_function FROM shown)
        GROUP BY service, function
    )
SELECT
    function,
    service,
    site_file AS file,
    site_line AS line,
    blocked AS blocked_ns,
    polls AS calls,
    worst AS max_ns,
    least(worst, toUInt64(exp2((arrayFirst((b, seen) -> seen >= 0.50 * polls,
        mapKeys(by_bucket), arrayCumSum(mapValues(by_bucket))) + 0.5) / 8))) AS p50_ns,
    least(worst, toUInt64(exp2((arrayFirst((b, seen) -> seen >= 0.99 * polls,
        mapKeys(by_bucket), arrayCumSum(mapValues(by_bucket))) + 0.5) / 8))) AS p99_ns,
    arrayReverseSort((c, ns) -> ns, mapKeys(by_cause), mapValues(by_cause))[1] AS cause,
    blamed.2 AS blame_function,
    blamed.3 AS blame_crate,
    seen_on AS instances,
    arrayZip(mapKeys(by_step), mapValues(by_step)) AS trend,
    toUnixTimestamp64Milli(known.first_seen) AS first_seen_ms,
    toUnixTimestamp64Milli(known.last_seen) AS last_seen_ms,
    unfinished_polls AS stalled,
    if(measured.all_polls = 0, 0, least(1, polls / measured.all_polls)) AS share_over
FROM ranked
LEFT JOIN known USING (service, function)
LEFT JOIN measured USING (service, function)
ORDER BY blocked_ns DESC, service, function
