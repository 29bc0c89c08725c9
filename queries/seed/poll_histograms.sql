-- All polls of the made-up functions in the minutes of one day in which they blocked: of a hundred, one was slow.
INSERT INTO poll_histograms (minute, service, function, instance, calls, sum_ns, buckets)
SELECT
    toStartOfMinute(toDateTime64(start, 3, 'UTC') + toIntervalMillisecond(intDiv(duration_ns, 1000000))) AS minute,
    service,
    function,
    instance,
    count() * 100,
    sum(self_ns) + count() * 99 * 50000,
    -- The fast ones took 50 µs.
    mapAdd(
        sumMap(map(toInt16(floor(log2(self_ns / 1e9) * 4)), toUInt64(1))),
        map(toInt16(-58), toUInt64(count() * 99)))
FROM poll_spans
WHERE NOT stall
    AND start >= {end:DateTime('UTC')} - toIntervalDay({day:UInt64} + 1)
    AND start < {end:DateTime('UTC')} - toIntervalDay({day:UInt64})
GROUP BY minute, service, function, instance
SETTINGS max_partitions_per_insert_block = 100
