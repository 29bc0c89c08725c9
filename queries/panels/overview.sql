-- title: Overview
-- description: One line on the whole fleet: who reports, who fell silent, what blocks, and how much was blocked.
-- reading: Stalled above 0 means that a thread is held at this moment: look at the table below it. Silent above 0 means that a service stopped reporting: it is down, or its exporter is.
-- column: reporting | count | services heard of in the last five minutes of the range
-- column: silent | count | services heard of in the day before, but not in those five minutes
-- column: stalled | count | polls that had not returned when the range ended, and lasted for half a second at least
-- column: blocked_ns_a_minute | ns | time that slow polls held threads, a minute of the range
-- column: polls | count | slow polls that ended in the range
-- column: worst_ns | ns | the longest of them
-- column: share_over | share | 0 to 1 of all polls that reached the threshold; 0 when not measured
-- cost: reads the tables of services and heartbeats, a rollup of services by minute or hour, and the blocks of raw spans in which some have not returned
WITH
    {from:DateTime64(3, 'UTC')} AS range_from,
    {to:DateTime64(3, 'UTC')} AS range_to,
    -- The longest time between two reports of one stall, and of their way here.
    150000 AS report_ms,
    -- A poll blocks now when it has not returned and at least this is known of it: the end of a shorter one may be on its way.
    500000000 AS certain_ns,
    heard AS
    (
        SELECT service, min(first_seen) AS heard_first, max(last_seen) AS heard_last
        FROM
        (
            SELECT service, environment, service_version, first_seen, last_seen FROM services
            UNION ALL
            SELECT service, environment, service_version, first_seen, last_seen FROM heartbeats
        )
        WHERE (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
            AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
        GROUP BY service
        HAVING heard_first < range_to AND heard_last >= range_to - toIntervalDay(1)
    ),
    blocked AS
    (
        SELECT calls, blocked_ns, max_ns
        FROM services_1m
        WHERE {step:UInt32} < 3600
            AND minute >= toStartOfMinute(range_from) AND minute < range_to
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
            AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
        UNION ALL
        SELECT calls, blocked_ns, max_ns
        FROM services_1h
        WHERE {step:UInt32} >= 3600
            AND hour >= toStartOfHour(range_from) AND hour < range_to
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
            AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
    ),
    stalls AS
    (
        SELECT service, function, start, span_id
        FROM poll_spans
        WHERE stall AND start < range_to
            AND start + toIntervalMillisecond(intDiv(duration_ns, 1000000) + report_ms) >= range_to
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
            AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
        GROUP BY service, function, start, span_id
        HAVING argMax(self_ns, form) >= certain_ns
    ),
    returned AS
    (
        SELECT service, function, start, span_id
        FROM poll_spans
        WHERE NOT stall AND start IN (SELECT start FROM stalls)
            AND service IN (SELECT service FROM stalls)
            AND function IN (SELECT function FROM stalls)
    ),
    assumeNotNull((
        SELECT sum(polls_1m.calls)
        FROM polls_1m
        WHERE minute >= toStartOfMinute(range_from) AND minute < range_to
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
    )) AS measured
SELECT
    assumeNotNull((SELECT countIf(heard_last >= range_to - toIntervalMinute(5)) FROM heard)) AS reporting,
    assumeNotNull((SELECT countIf(heard_last < range_to - toIntervalMinute(5)) FROM heard)) AS silent,
    assumeNotNull((
        SELECT count()
        FROM stalls
        WHERE (service, function, start, span_id) NOT IN (SELECT * FROM returned)
    )) AS stalled,
    sum(blocked_ns) / greatest(1, dateDiff('second', range_from, range_to)) * 60 AS blocked_ns_a_minute,
    sum(calls) AS polls,
    toUInt64(max(max_ns)) AS worst_ns,
    if(measured = 0, 0, least(1, polls / measured)) AS share_over
FROM blocked
