-- title: Slow polls a minute, by function
-- description: Polls at or over the threshold that ended, a minute, of the functions with most of them.
-- column: time | time | start of the step
-- column: function | the function; other is the sum of the rest
-- column: polls | count | slow polls a minute in the step
-- cost: reads a rollup of functions, by minutes below steps of an hour, else by hours
WITH
    parts AS
    (
        SELECT minute AS at, toString(function) AS its_function, calls AS amount
        FROM functions_1m
        WHERE {step:UInt32} < 3600
            AND minute >= toStartOfMinute({from:DateTime64(3, 'UTC')}) AND minute < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND ({function:String} = '' OR function = {function:String})
        UNION ALL
        SELECT hour AS at, toString(function) AS its_function, calls AS amount
        FROM functions_1h
        WHERE {step:UInt32} >= 3600
            AND hour >= toStartOfHour({from:DateTime64(3, 'UTC')}) AND hour < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND ({function:String} = '' OR function = {function:String})
    ),
    by_step AS
    (
        SELECT its_function, toUnixTimestamp(toStartOfInterval(at, toIntervalSecond({step:UInt32}))) AS at_step, sum(amount) AS in_step
        FROM parts
        GROUP BY its_function, at_step
    ),
    largest AS
    (
        SELECT its_function
        FROM by_step
        GROUP BY its_function
        ORDER BY sum(in_step) DESC, its_function
        LIMIT {limit:UInt32}
    ),
    lines AS
    (
        SELECT shown, sumMap(map(at_step, in_step)) AS amounts
        FROM
        (
            SELECT if(its_function IN (SELECT * FROM largest), its_function, 'other') AS shown, at_step, in_step
            FROM by_step
        )
        GROUP BY shown
    )
SELECT
    toDateTime(step_at, 'UTC') AS time,
    shown AS function,
    -- A step without any is a zero, not a gap.
    amounts[step_at] / ({step:UInt32} / 60) AS polls
FROM lines
ARRAY JOIN range(
    toUInt32(intDiv(toUnixTimestamp({from:DateTime64(3, 'UTC')}), {step:UInt32}) * {step:UInt32}),
    toUInt32(toUnixTimestamp({to:DateTime64(3, 'UTC')}) + 1),
    {step:UInt32}) AS step_at
ORDER BY time, function
