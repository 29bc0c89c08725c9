-- title: Share of polls over the threshold
-- description: Of all polls, fast ones too, how many reached the threshold, by service; services that don't measure all polls are left out.
-- reading: A service whose share rises with its load has no room; one whose share jumps at a deploy mark has a change to undo.
-- column: time | time | start of the step
-- column: service | the service
-- column: share | share | 0 to 1 of its polls in the step
-- cost: reads a rollup of services, by minutes below steps of an hour, else by hours, and the rollup of all polls by minute
WITH
    slow AS
    (
        SELECT its_service, toUnixTimestamp(toStartOfInterval(at, toIntervalSecond({step:UInt32}))) AS at_step, sum(calls) AS slow_polls
        FROM
        (
            SELECT minute AS at, toString(service) AS its_service, calls
            FROM services_1m
            WHERE {step:UInt32} < 3600
                AND minute >= toStartOfMinute({from:DateTime64(3, 'UTC')}) AND minute < {to:DateTime64(3, 'UTC')}
                AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
                AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
                AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
            UNION ALL
            SELECT hour AS at, toString(service) AS its_service, calls
            FROM services_1h
            WHERE {step:UInt32} >= 3600
                AND hour >= toStartOfHour({from:DateTime64(3, 'UTC')}) AND hour < {to:DateTime64(3, 'UTC')}
                AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
                AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
                AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
        )
        GROUP BY its_service, at_step
    ),
    every AS
    (
        SELECT
            toString(service) AS its_service,
            toUnixTimestamp(toStartOfInterval(minute, toIntervalSecond({step:UInt32}))) AS at_step,
            sum(calls) AS all_polls
        FROM polls_1m
        WHERE minute >= toStartOfMinute({from:DateTime64(3, 'UTC')}) AND minute < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
        GROUP BY its_service, at_step
    ),
    largest AS
    (
        SELECT its_service
        FROM slow
        GROUP BY its_service
        ORDER BY sum(slow_polls) DESC, its_service
        LIMIT {limit:UInt32}
    )
SELECT
    toDateTime(every.at_step, 'UTC') AS time,
    every.its_service AS service,
    least(1, slow.slow_polls / every.all_polls) AS share
FROM every
LEFT JOIN slow ON slow.its_service = every.its_service AND slow.at_step = every.at_step
WHERE every.all_polls > 0 AND every.its_service IN (SELECT * FROM largest)
ORDER BY time, service
