-- title: Suspects
-- description: Spans of tracing-opentelemetry with a large busy time: a sum over polls, so it proves no block.
-- column: function | the span's function
-- column: service | the service
-- column: spans | count | spans over the threshold
-- column: busy_ns | ns | their busy time
-- column: max_busy_ns | ns | the largest of one span
-- column: last_seen_ms | unix ms | start of the last of them
-- cost: reads the suspects of the range
SELECT
    function,
    service,
    count() AS spans,
    sum(suspects.busy_ns) AS busy_ns,
    max(suspects.busy_ns) AS max_busy_ns,
    toUnixTimestamp64Milli(toDateTime64(max(start), 3, 'UTC')) AS last_seen_ms
FROM suspects FINAL
WHERE start >= {from:DateTime64(3, 'UTC')} AND start < {to:DateTime64(3, 'UTC')}
    AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
    AND ({function:String} = '' OR function = {function:String})
GROUP BY service, function
ORDER BY busy_ns DESC, service, function
LIMIT {limit:UInt32}
