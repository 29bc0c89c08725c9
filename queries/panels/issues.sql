-- title: Issues
-- description: Functions that block, and what became of each: new, ongoing, regressed, quiet or muted; most blocked time first.
-- reading: New began in the range; regressed was away for a week, or for a version that ran an hour, and is back; quiet did not block in the range. Look at new and regressed first: a change brought them.
-- column: function | the instrumented function
-- column: service | the service it runs in
-- column: state | new, ongoing, regressed, quiet or muted
-- column: blocked_ns | ns | time that its slow polls held a thread
-- column: share | share | 0 to 1 of the blocked time of all functions that were asked for
-- column: calls | count | polls at or over the threshold
-- column: max_ns | ns | the longest of them
-- column: cause | what most of the blocked time was spent on
-- column: blame_function | the first frame outside std, libc and the runtime, of the longest poll that has one
-- column: blame_crate | the crate of that frame
-- column: victims | count | tasks that had to wait, in episodes of the range
-- column: trend | pairs of unix ms and ns blocked in the step that begins there
-- column: stalled | count | polls that have not returned yet, and lasted for half a second at least
-- column: first_seen_ms | unix ms | first seen at all, in any range
-- column: last_seen_ms | unix ms | last seen at all
-- column: first_version | the service's version that it was first seen in
-- column: last_version | the service's version that it was last seen in
-- column: muted_ms | unix ms | when it was muted; 0 when it is not
-- column: muted_until_ms | unix ms | when the mute ends; 0 when not at a time
-- column: muted_version | the version with which the mute ends when another is seen; empty when not so
-- column: muted_reason | why
-- cost: reads the range in functions_1m, or in functions_1h where steps are hours, the week before it in functions_1h, the table of functions, and the blocks of raw spans in which some have not returned; details are read of the functions that are shown
WITH
    {from:DateTime64(3, 'UTC')} AS range_from,
    {to:DateTime64(3, 'UTC')} AS range_to,
    -- Whole hours of the range come from the rollup by hour where steps are hours, its ends from that by minute.
    if({step:UInt32} < 3600, toDateTime(range_to), toStartOfHour(toDateTime(range_from) + 3599)) AS hours_from,
    if({step:UInt32} < 3600, toDateTime(range_to), toStartOfHour(toDateTime(range_to))) AS hours_to,
    toStartOfHour(toDateTime(range_from)) AS week_to,
    toDateTime(range_from) - toIntervalDay(7) AS week_from,
    -- The longest time between two reports of one stall, and of their way here.
    150000 AS report_ms,
    -- A poll blocks now when it has not returned and at least this is known of it: the end of a shorter one may be on its way.
    500000000 AS certain_ns,
    toDateTime64(0, 3, 'UTC') AS never,
    (
        SELECT groupArray((service_of, function_of, start, span_id, last_form))
        FROM
        (
            SELECT
                toString(service) AS service_of, toString(function) AS function_of, start, span_id,
                argMax((self_ns, toString(cause), toString(blame_function), toString(blame_crate)), form) AS last_form
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
            AND (service, function, start) IN (SELECT it.1, it.2, it.3 FROM (SELECT arrayJoin(reported) AS it))
    ) AS returned,
    unfinished AS
    (
        SELECT arrayJoin(reported) AS report, report.1 AS service, report.2 AS function, report.5 AS last_form
        WHERE (report.1, report.2, report.3, report.4)
            NOT IN (SELECT had.1, had.2, had.3, had.4 FROM (SELECT arrayJoin(returned) AS had))
    ),
    in_range AS
    (
        SELECT
            toString(service) AS its_service,
            toString(function) AS its_function,
            sum(blocked_ns) AS blocked,
            sum(calls) AS polls,
            max(seen) AS last_hour
        FROM
        (
            SELECT service, function, blocked_ns, calls, toDateTime(0, 'UTC') AS seen
            FROM functions_1m
            WHERE minute >= toStartOfMinute(range_from) AND minute < range_to
                AND (minute < hours_from OR minute >= hours_to)
                AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
                AND ({function:String} = '' OR function = {function:String})
            UNION ALL
            -- Of the week before the range, all that matters is when.
            SELECT
                service, function,
                if(hour < week_to, 0, functions_1h.blocked_ns) AS blocked_ns,
                if(hour < week_to, 0, functions_1h.calls) AS calls,
                if(hour < week_to, hour, toDateTime(0, 'UTC')) AS seen
            FROM functions_1h
            WHERE (hour >= week_from AND hour < week_to OR hour >= hours_from AND hour < hours_to)
                AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
                AND ({function:String} = '' OR function = {function:String})
            UNION ALL
            SELECT service, function, last_form.1 AS blocked_ns, 1 AS calls, toDateTime(0, 'UTC') AS seen FROM unfinished
        )
        GROUP BY its_service, its_function
    ),
    known AS
    (
        SELECT
            its_service,
            its_function,
            groupArray((version_of, version_first, version_last)) AS by_version,
            min(version_first) AS known_first,
            max(version_last) AS known_last,
            argMin(version_of, version_first) AS version_at_first,
            argMax(version_of, version_last) AS version_at_last,
            argMax(version_first, version_last) AS last_version_began
        FROM
        (
            SELECT
                toString(service) AS its_service, toString(function) AS its_function, toString(service_version) AS version_of,
                min(first_seen) AS version_first, max(last_seen) AS version_last
            FROM functions
            WHERE (empty({service:Array(String)}) OR service IN {service:Array(String)})
                AND ({function:String} = '' OR function = {function:String})
            GROUP BY its_service, its_function, version_of
        )
        GROUP BY its_service, its_function
        HAVING known_first < range_to
    ),
    ran AS
    (
        SELECT its_service, groupArray((version_of, ran_first, ran_last)) AS versions_ran
        FROM
        (
            SELECT toString(service) AS its_service, toString(service_version) AS version_of, min(first_seen) AS ran_first, max(last_seen) AS ran_last
            FROM
            (
                SELECT service, service_version, first_seen, last_seen FROM services
                UNION ALL
                SELECT service, service_version, first_seen, last_seen FROM heartbeats
            )
            GROUP BY its_service, version_of
        )
        GROUP BY its_service
    ),
    in_force AS
    (
        SELECT service AS its_service, function AS its_function, muted, until, version AS until_version, reason
        FROM mutes FINAL
        WHERE active AND (until = never OR until > now64(3))
    ),
    judged AS
    (
        SELECT
            its_service,
            its_function,
            in_range.blocked AS blocked,
            in_range.polls AS polls,
            known_first,
            known_last,
            version_at_first,
            version_at_last,
            in_force.muted > never AND (until_version = '' OR until_version = version_at_last) AS is_muted,
            if(is_muted, (in_force.muted, until, until_version, reason), (never, never, '', '')) AS mute,
            -- When it was last seen in the week before the range, to the hour, or else first.
            greatest(toDateTime(known_first), in_range.last_hour) AS seen_before,
            arrayMax(x -> if(x.1 = version_at_last, never, x.3), by_version) AS other_versions_last,
            -- A version of the service ran for an hour without it, after the last that had it.
            other_versions_last > never AND last_version_began >= range_from AND arrayExists(
                x -> x.2 > other_versions_last AND x.2 < last_version_began AND x.3 >= x.2 + toIntervalHour(1)
                    AND NOT has(by_version.1, x.1),
                versions_ran) AS skipped_version,
            multiIf(
                is_muted, 'muted',
                polls = 0, 'quiet',
                known_first >= range_from, 'new',
                seen_before < toDateTime(range_from) - toIntervalDay(7) OR skipped_version, 'regressed',
                'ongoing') AS its_state,
            sum(in_range.blocked) OVER () AS all_blocked
        FROM known
        LEFT JOIN in_range USING (its_service, its_function)
        LEFT JOIN in_force USING (its_service, its_function)
        LEFT JOIN ran USING (its_service)
    ),
    -- What is used more than once is a scalar: it is found once.
    (
        SELECT groupArray((its_service, its_function, its_state, blocked, polls, known_first, known_last,
            version_at_first, version_at_last, mute, all_blocked))
        FROM
        (
            SELECT *
            FROM judged
            WHERE (empty({state:Array(String)}) OR its_state IN {state:Array(String)})
                AND arrayAll(
                    word -> position(lower(concat(its_function, ' ', its_service)), word) > 0,
                    splitByWhitespace(lower({search:String})))
            ORDER BY blocked DESC, known_last DESC, its_service, its_function
            LIMIT {limit:UInt32}
        )
    ) AS first_ones,
    shown AS
    (
        SELECT arrayJoin(first_ones) AS one, one.1 AS its_service, one.2 AS its_function
    ),
    -- Functions are looked up by name alone, which is cheaper than with their services; what is not shown is left out at the
    -- end. The list stands here once: each place that asks it costs the time to plan all of it.
    parts AS
    (
        SELECT *
        FROM
        (
            SELECT minute AS at, service, function, blocked_ns, max_ns, causes, blame, toUInt64(0) AS stalled
            FROM functions_1m
            WHERE minute >= toStartOfMinute(range_from) AND minute < range_to
                AND (minute < hours_from OR minute >= hours_to)
                AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            UNION ALL
            SELECT hour AS at, service, function, blocked_ns, max_ns, causes, blame, toUInt64(0) AS stalled
            FROM functions_1h
            WHERE {step:UInt32} >= 3600 AND hour >= hours_from AND hour < hours_to
                AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            UNION ALL
            SELECT
                toStartOfMinute(greatest(toDateTime(report.3), toDateTime(range_from))), service, function,
                last_form.1, last_form.1,
                map(last_form.2, last_form.1),
                (last_form.1, last_form.3, last_form.4),
                last_form.1 >= certain_ns
            FROM unfinished
        )
        WHERE function IN (SELECT arrayJoin(first_ones).2)
    ),
    details AS
    (
        SELECT
            toString(service) AS its_service,
            toString(function) AS its_function,
            toUInt64(max(max_ns)) AS worst,
            sumMap(causes) AS by_cause,
            argMax((blame.2, blame.3), blame.1) AS blamed,
            sumMap(map(
                toUnixTimestamp(toStartOfInterval(at, toIntervalSecond({step:UInt32}))) * 1000,
                blocked_ns)) AS by_step,
            sum(stalled) AS unfinished_polls
        FROM parts
        GROUP BY its_service, its_function
    ),
    waited AS
    (
        SELECT toString(service) AS its_service, toString(function) AS its_function, sum(episodes.victims) AS tasks
        FROM episodes FINAL
        -- What is in the key of the table may be asked before FINAL takes the last of each.
        PREWHERE function IN (SELECT arrayJoin(first_ones).2)
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
        WHERE ended >= range_from AND started < range_to
            -- Of days before the range nothing is read, unless an episode of theirs lasted into it.
            AND started >= ifNull(
                (SELECT minOrNull(started) FROM episodes WHERE ended >= range_from AND started < range_from), range_from)
        GROUP BY its_service, its_function
    )
SELECT
    its_function AS function,
    its_service AS service,
    one.3 AS state,
    one.4 AS blocked_ns,
    if(one.11 = 0, 0, blocked_ns / one.11) AS share,
    one.5 AS calls,
    worst AS max_ns,
    arrayReverseSort((c, ns) -> ns, mapKeys(by_cause), mapValues(by_cause))[1] AS cause,
    blamed.1 AS blame_function,
    blamed.2 AS blame_crate,
    waited.tasks AS victims,
    arrayZip(mapKeys(by_step), mapValues(by_step)) AS trend,
    unfinished_polls AS stalled,
    toUnixTimestamp64Milli(one.6) AS first_seen_ms,
    toUnixTimestamp64Milli(one.7) AS last_seen_ms,
    one.8 AS first_version,
    one.9 AS last_version,
    toUnixTimestamp64Milli(one.10.1) AS muted_ms,
    toUnixTimestamp64Milli(one.10.2) AS muted_until_ms,
    one.10.3 AS muted_version,
    one.10.4 AS muted_reason
FROM shown
LEFT JOIN details USING (its_service, its_function)
LEFT JOIN waited USING (its_service, its_function)
ORDER BY blocked_ns DESC, last_seen_ms DESC, service, function
