-- title: Functions: trend
-- description: Blocked time by step of the functions with most of it.
-- reading: A line that began at a deploy mark came with it.
-- column: time | time | start of the step
-- column: label | service and function; other is the sum of the rest
-- column: blocked_ns | ns | blocked time in the step
-- cost: reads a rollup of functions, by minutes below steps of an hour, else by hours
WITH
    parts AS
    (
        SELECT minute AS at, concat(service, ' ', function) AS its_label, blocked_ns AS amount
        FROM functions_1m
        WHERE {step:UInt32} < 3600
            AND minute >= toStartOfMinute({from:DateTime64(3, 'UTC')}) AND minute < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND ({function:String} = '' OR function = {function:String})
        UNION ALL
        SELECT hour AS at, concat(service, ' ', function) AS its_label, blocked_ns AS amount
        FROM functions_1h
        WHERE {step:UInt32} >= 3600
            AND hour >= toStartOfHour({from:DateTime64(3, 'UTC')}) AND hour < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND ({function:String} = '' OR function = {function:String})
    ),
    by_step AS
    (
        SELECT its_label, toUnixTimestamp(toStartOfInterval(at, toIntervalSecond({step:UInt32}))) AS at_step, sum(amount) AS in_step
        FROM parts
        GROUP BY its_label, at_step
    ),
    largest AS
    (
        SELECT its_label
        FROM by_step
        GROUP BY its_label
        ORDER BY sum(in_step) DESC, its_label
        LIMIT {limit:UInt32}
    ),
    lines AS
    (
        SELECT shown, sumMap(map(at_step, in_step)) AS amounts
        FROM
        (
            SELECT if(its_label IN (SELECT * FROM largest), its_label, 'other') AS shown, at_step, in_step
            FROM by_step
        )
        GROUP BY shown
    )
SELECT
    toDateTime(step_at, 'UTC') AS time,
    shown AS label,
    -- A step without any is a zero, not a gap.
    amounts[step_at] AS blocked_ns
FROM lines
ARRAY JOIN range(
    toUInt32(intDiv(toUnixTimestamp({from:DateTime64(3, 'UTC')}), {step:UInt32}) * {step:UInt32}),
    toUInt32(toUnixTimestamp({to:DateTime64(3, 'UTC')}) + 1),
    {step:UInt32}) AS step_at
ORDER BY time, label
