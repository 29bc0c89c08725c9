-- title: Durations of slow polls
-- description: How many slow polls ended in each step, by duration; a column holds those up to its name, in seconds, and over the one before.
-- reading: A band that moves up is a function that got slower; a second band is a second cause. Slow and rare shows here when averages hide it.
-- column: time | time | start of the step
-- column: 0.001 | count | slow polls of up to 0.001 s
-- column: 0.0021 | count | slow polls of up to 0.0021 s
-- column: 0.0042 | count | slow polls of up to 0.0042 s
-- column: 0.0084 | count | slow polls of up to 0.0084 s
-- column: 0.0168 | count | slow polls of up to 0.0168 s
-- column: 0.0336 | count | slow polls of up to 0.0336 s
-- column: 0.0671 | count | slow polls of up to 0.0671 s
-- column: 0.1342 | count | slow polls of up to 0.1342 s
-- column: 0.2684 | count | slow polls of up to 0.2684 s
-- column: 0.5369 | count | slow polls of up to 0.5369 s
-- column: 1.07 | count | slow polls of up to 1.07 s
-- column: 2.15 | count | slow polls of up to 2.15 s
-- column: 4.29 | count | slow polls of up to 4.29 s
-- column: 8.59 | count | slow polls of up to 8.59 s
-- column: 17.18 | count | slow polls of up to 17.18 s
-- column: 34.36 | count | slow polls of up to 34.36 s
-- column: 68.72 | count | slow polls of up to 68.72 s
-- column: +Inf | count | longer ones
-- cost: reads a rollup of services, or of functions when one is given, by minutes below steps of an hour, else by hours
WITH
    parts AS
    (
        SELECT minute AS at, buckets
        FROM services_1m
        WHERE {function:String} = '' AND {step:UInt32} < 3600
            AND minute >= toStartOfMinute({from:DateTime64(3, 'UTC')}) AND minute < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
            AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
        UNION ALL
        SELECT hour AS at, buckets
        FROM services_1h
        WHERE {function:String} = '' AND {step:UInt32} >= 3600
            AND hour >= toStartOfHour({from:DateTime64(3, 'UTC')}) AND hour < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
            AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
        UNION ALL
        SELECT minute AS at, buckets
        FROM functions_1m
        WHERE {function:String} != '' AND {step:UInt32} < 3600
            AND minute >= toStartOfMinute({from:DateTime64(3, 'UTC')}) AND minute < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND function = {function:String}
        UNION ALL
        SELECT hour AS at, buckets
        FROM functions_1h
        WHERE {function:String} != '' AND {step:UInt32} >= 3600
            AND hour >= toStartOfHour({from:DateTime64(3, 'UTC')}) AND hour < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND function = {function:String}
    ),
    by_step AS
    (
        SELECT toUnixTimestamp(toStartOfInterval(at, toIntervalSecond({step:UInt32}))) AS at_step, sumMap(buckets) AS fine
        FROM parts
        GROUP BY at_step
    ),
    -- Eight buckets of the rollup are one doubling.
    by_doubling AS
    (
        SELECT at_step, sumMap(arrayMap(k -> toUInt16(intDiv(k, 8)), mapKeys(fine)), mapValues(fine)) AS sums
        FROM by_step
        GROUP BY at_step
    ),
    counted AS
    (
        SELECT at_step, mapFromArrays(sums.1, sums.2) AS counts FROM by_doubling
    )
SELECT
    toDateTime(at_step, 'UTC') AS time,
    arraySum(arrayFilter((n, k) -> k < 20, mapValues(counts), mapKeys(counts))) AS `0.001`,
    counts[20] AS `0.0021`,
    counts[21] AS `0.0042`,
    counts[22] AS `0.0084`,
    counts[23] AS `0.0168`,
    counts[24] AS `0.0336`,
    counts[25] AS `0.0671`,
    counts[26] AS `0.1342`,
    counts[27] AS `0.2684`,
    counts[28] AS `0.5369`,
    counts[29] AS `1.07`,
    counts[30] AS `2.15`,
    counts[31] AS `4.29`,
    counts[32] AS `8.59`,
    counts[33] AS `17.18`,
    counts[34] AS `34.36`,
    counts[35] AS `68.72`,
    arraySum(arrayFilter((n, k) -> k >= 36, mapValues(counts), mapKeys(counts))) AS `+Inf`
FROM counted
ORDER BY time
