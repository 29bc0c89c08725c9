-- The polls that episodes are made of again when the collector starts: of each function and instance,
-- those since its oldest episode that a late poll may still join or that nobody has closed, or since
-- the horizon where it has none.
WITH
    fromUnixTimestamp64Nano({horizon_ns:Int64}, 'UTC') AS horizon,
    remembered AS
    (
        SELECT service, environment, service_version, instance, function, min(started) AS since
        FROM episodes FINAL
        WHERE ended >= horizon OR NOT closed
        GROUP BY service, environment, service_version, instance, function
    )
SELECT
    toUnixTimestamp64Nano(polls.start) AS start_ns,
    polls.duration_ns AS duration_ns,
    polls.self_ns AS self_ns,
    polls.service AS service,
    polls.environment AS environment,
    polls.service_version AS service_version,
    polls.instance AS instance,
    polls.function AS function,
    polls.cause AS cause,
    polls.blame_function AS blame_function,
    polls.blame_crate AS blame_crate,
    polls.stack_id AS stack_id,
    polls.victims AS victims,
    polls.stall AS stall,
    polls.trace_id AS trace_id,
    polls.span_id AS span_id
FROM
(
    SELECT *
    FROM poll_spans FINAL
    -- A constant, so that older days are not read.
    WHERE start >= (SELECT if(count() = 0, horizon, least(min(since), horizon)) FROM remembered)
) AS polls
LEFT JOIN remembered AS known USING (service, environment, service_version, instance, function)
WHERE polls.start >= if(
    known.since > fromUnixTimestamp64Nano(toInt64(0), 'UTC'),
    known.since,
    horizon)
ORDER BY polls.start DESC
LIMIT {limit:UInt64}
