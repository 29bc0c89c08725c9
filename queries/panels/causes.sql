-- title: Blocked time a minute, by cause
-- description: Why threads were held: cpu, sleep, lock, disk, net, page_fault, runqueue, unknown.
-- reading: cpu, lock and sleep are code to change; disk and net are blocking I/O to move off the runtime; page_fault and runqueue are the machine.
-- column: time | time | start of the step
-- column: cause | the cause
-- column: blocked_ns | ns | blocked time a minute in the step
-- cost: reads a rollup of services, by minutes below steps of an hour, else by hours
WITH
    parts AS
    (
        SELECT minute AS at, arrayJoin(mapKeys(causes)) AS its_cause, causes[its_cause] AS amount
        FROM services_1m
        WHERE {step:UInt32} < 3600
            AND minute >= toStartOfMinute({from:DateTime64(3, 'UTC')}) AND minute < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
            AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
        UNION ALL
        SELECT hour AS at, arrayJoin(mapKeys(causes)) AS its_cause, causes[its_cause] AS amount
        FROM services_1h
        WHERE {step:UInt32} >= 3600
            AND hour >= toStartOfHour({from:DateTime64(3, 'UTC')}) AND hour < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
            AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
    ),
    by_step AS
    (
        SELECT its_cause, toUnixTimestamp(toStartOfInterval(at, toIntervalSecond({step:UInt32}))) AS at_step, sum(amount) AS in_step
        FROM parts
        GROUP BY its_cause, at_step
    ),
    largest AS
    (
        SELECT its_cause
        FROM by_step
        GROUP BY its_cause
        ORDER BY sum(in_step) DESC, its_cause
        LIMIT {limit:UInt32}
    ),
    lines AS
    (
        SELECT shown, sumMap(map(at_step, in_step)) AS amounts
        FROM
        (
            SELECT if(its_cause IN (SELECT * FROM largest), its_cause, 'other') AS shown, at_step, in_step
            FROM by_step
        )
        GROUP BY shown
    )
SELECT
    toDateTime(step_at, 'UTC') AS time,
    shown AS cause,
    -- A step without any is a zero, not a gap.
    amounts[step_at] / ({step:UInt32} / 60) AS blocked_ns
FROM lines
ARRAY JOIN range(
    toUInt32(intDiv(toUnixTimestamp({from:DateTime64(3, 'UTC')}), {step:UInt32}) * {step:UInt32}),
    toUInt32(toUnixTimestamp({to:DateTime64(3, 'UTC')}) + 1),
    {step:UInt32}) AS step_at
ORDER BY time, cause
