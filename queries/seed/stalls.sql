-- Reports of stalls: of the longest polls of the last day as they were half through, and of three functions' that have not returned.
INSERT INTO poll_spans
SELECT * REPLACE (intDiv(duration_ns, 2) AS duration_ns, intDiv(self_ns, 2) AS self_ns, true AS stall)
FROM poll_spans
WHERE self_ns > 2000000000 AND start >= {end:DateTime('UTC')} - toIntervalDay(1)
UNION ALL
SELECT * REPLACE
(
    fromUnixTimestamp64Nano((toUnixTimestamp({end:DateTime('UTC')}) - 90) * 1000000000, 'UTC') AS start,
    89000000000 AS duration_ns, 89000000000 AS self_ns, true AS stall,
    unhex(leftPad(hex(sipHash64(span_id)), 16, '0')) AS span_id
)
FROM
(
    SELECT *
    FROM poll_spans
    WHERE start >= {end:DateTime('UTC')} - toIntervalDay(1)
    -- One of them is where one would look first.
    ORDER BY
        instance = 'service-0-0' AND service_version = '1.1.0' AND function = 'app_0::handlers::handler_0' DESC,
        span_id
    LIMIT 1 BY service, function
    LIMIT 3
)
