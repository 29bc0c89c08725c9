-- title: Poll spans stored a minute
-- description: Finished poll spans that reached ClickHouse, a minute, by service.
-- reading: A gap in all lines is the collector; in one line, that service.
-- column: time | time | start of the step
-- column: service | the service; other is the sum of the rest
-- column: polls | count | poll spans a minute in the step
-- cost: reads a rollup of services, by minutes below steps of an hour, else by hours
WITH
    parts AS
    (
        SELECT minute AS at, toString(service) AS its_service, calls AS amount
        FROM services_1m
        WHERE {step:UInt32} < 3600
            AND minute >= toStartOfMinute({from:DateTime64(3, 'UTC')}) AND minute < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
            AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
        UNION ALL
        SELECT hour AS at, toString(service) AS its_service, calls AS amount
        FROM services_1h
        WHERE {step:UInt32} >= 3600
            AND hour >= toStartOfHour({from:DateTime64(3, 'UTC')}) AND hour < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
            AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
    ),
    by_step AS
    (
        SELECT its_service, toUnixTimestamp(toStartOfInterval(at, toIntervalSecond({step:UInt32}))) AS at_step, sum(amount) AS in_step
        FROM parts
        GROUP BY its_service, at_step
    ),
    largest AS
    (
        SELECT its_service
        FROM by_step
        GROUP BY its_service
        ORDER BY sum(in_step) DESC, its_service
        LIMIT {limit:UInt32}
    ),
    lines AS
    (
        SELECT shown, sumMap(map(at_step, in_step)) AS amounts
        FROM
        (
            SELECT if(its_service IN (SELECT * FROM largest), its_service, 'other') AS shown, at_step, in_step
            FROM by_step
        )
        GROUP BY shown
    )
SELECT
    toDateTime(step_at, 'UTC') AS time,
    shown AS service,
    -- A step without any is a zero, not a gap.
    amounts[step_at] / ({step:UInt32} / 60) AS polls
FROM lines
ARRAY JOIN range(
    toUInt32(intDiv(toUnixTimestamp({from:DateTime64(3, 'UTC')}), {step:UInt32}) * {step:UInt32}),
    toUInt32(toUnixTimestamp({to:DateTime64(3, 'UTC')}) + 1),
    {step:UInt32}) AS step_at
ORDER BY time, service
