-- title: How long slow polls took
-- description: Median, 99th percentile and longest of the polls at or over the threshold, by step.
-- column: time | time | start of the step
-- column: p50_ns | ns | median, from buckets 9 % wide
-- column: p99_ns | ns | 99th percentile, from buckets 9 % wide
-- column: max_ns | ns | the longest
-- cost: reads a rollup of services, or of functions when one is given, by minutes below steps of an hour, else by hours
WITH
    parts AS
    (
        SELECT minute AS at, buckets, max_ns AS worst, calls
        FROM services_1m
        WHERE {function:String} = '' AND {step:UInt32} < 3600
            AND minute >= toStartOfMinute({from:DateTime64(3, 'UTC')}) AND minute < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
            AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
        UNION ALL
        SELECT hour AS at, buckets, max_ns AS worst, calls
        FROM services_1h
        WHERE {function:String} = '' AND {step:UInt32} >= 3600
            AND hour >= toStartOfHour({from:DateTime64(3, 'UTC')}) AND hour < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
            AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
        UNION ALL
        SELECT minute AS at, buckets, max_ns AS worst, calls
        FROM functions_1m
        WHERE {function:String} != '' AND {step:UInt32} < 3600
            AND minute >= toStartOfMinute({from:DateTime64(3, 'UTC')}) AND minute < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND function = {function:String}
        UNION ALL
        SELECT hour AS at, buckets, max_ns AS worst, calls
        FROM functions_1h
        WHERE {function:String} != '' AND {step:UInt32} >= 3600
            AND hour >= toStartOfHour({from:DateTime64(3, 'UTC')}) AND hour < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND function = {function:String}
    ),
    by_step AS
    (
        SELECT toUnixTimestamp(toStartOfInterval(at, toIntervalSecond({step:UInt32}))) AS at_step, sumMap(buckets) AS by_bucket, toUInt64(max(worst)) AS worst_of_step, sum(calls) AS polls
        FROM parts
        GROUP BY at_step
    )
SELECT
    toDateTime(at_step, 'UTC') AS time,
    least(worst_of_step, toUInt64(exp2((arrayFirst((b, seen) -> seen >= 0.50 * polls,
        mapKeys(by_bucket), arrayCumSum(mapValues(by_bucket))) + 0.5) / 8))) AS p50_ns,
    least(worst_of_step, toUInt64(exp2((arrayFirst((b, seen) -> seen >= 0.99 * polls,
        mapKeys(by_bucket), arrayCumSum(mapValues(by_bucket))) + 0.5) / 8))) AS p99_ns,
    worst_of_step AS max_ns
FROM by_step
ORDER BY time
