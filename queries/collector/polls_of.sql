-- The polls of some functions in some instances since a time, whichever collector stored them.
SELECT
    toUnixTimestamp64Nano(start) AS start_ns,
    duration_ns,
    self_ns,
    service,
    environment,
    service_version,
    instance,
    function,
    cause,
    blame_function,
    blame_crate,
    stack_id,
    victims,
    stall,
    trace_id,
    span_id
FROM poll_spans FINAL
WHERE start >= fromUnixTimestamp64Nano({since_ns:Int64}, 'UTC')
    AND (service, function, environment, service_version, instance) IN
    (
        SELECT key.1, key.2, key.3, key.4, key.5
        FROM
        (
            SELECT arrayJoin(arrayZip(
                {services:Array(String)},
                {functions:Array(String)},
                {environments:Array(String)},
                {versions:Array(String)},
                {instances:Array(String)})) AS key
        )
    )
LIMIT {limit:UInt64}
