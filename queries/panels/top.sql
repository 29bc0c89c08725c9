-- title: Functions by blocked time
-- description: Which functions held runtime threads, the worst first, by polls that ended in the range or still block.
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
-- column: stalled | count | polls that have not returned yet
-- column: share_over | share | 0 to 1 of all polls of the function in the range that reached the threshold; 0 when not measured
-- cost: reads the minutes of the range in functions_1m and poll_histograms, and the unfinished polls of the raw spans
WITH
    {from:DateTime64(3, 'UTC')} AS range_from,
    {to:DateTime64(3, 'UTC')} AS range_to,
    -- The longest time between two reports of one stall, and of their way here.
    150000 AS report_ms,
    finished_and_blocked AS
    (
        SELECT
            minute, service, function, calls, blocked_ns, max_ns, buckets, causes,
            toString(file) AS file, line, blame, instances, toUInt64(0) AS stalled
        FROM functions_1m
        WHERE minute >= toStartOfMinute(range_from) AND minute < range_to
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND ({function:String} = '' OR function = {function:String})
        UNION ALL
        SELECT
            toStartOfMinute(greatest(toDateTime(start), toDateTime(range_from))), service, function,
            1, self_ns, self_ns,
            map(toUInt16(floor(log2(greatest(self_ns, 1)) * 8)), toUInt64(1)),
            map(toString(cause), self_ns),
            toString(file), line, (self_ns, toString(blame_function), toString(blame_crate)),
            arrayReduce('uniqState', [toString(instance)]), 1
        FROM poll_spans FINAL
        WHERE stall AND start < range_to
            AND start + toIntervalMillisecond(intDiv(duration_ns, 1000000) + report_ms) >= range_from
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND ({function:String} = '' OR function = {function:String})
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
                toUnixTimestamp(toStartOfInterval(minute, toIntervalSecond({step:UInt32}))) * 1000,
                blocked_ns)) AS by_step,
            sum(stalled) AS unfinished
        FROM finished_and_blocked
        GROUP BY service, function
        ORDER BY blocked DESC, service, function
        LIMIT {limit:UInt32}
    ),
    measured AS
    (
        SELECT service, function, sum(calls) AS all_polls
        FROM poll_histograms
        WHERE minute >= toStartOfMinute(range_from) AND minute < range_to
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND ({function:String} = '' OR function = {function:String})
        GROUP BY service, function
    ),
    known AS
    (
        SELECT service, function, min(first_seen) AS first_seen, max(last_seen) AS last_seen
        FROM functions
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
    unfinished AS stalled,
    if(measured.all_polls = 0, 0, least(1, polls / measured.all_polls)) AS share_over
FROM ranked
LEFT JOIN known USING (service, function)
LEFT JOIN measured USING (service, function)
ORDER BY blocked_ns DESC, service, function
