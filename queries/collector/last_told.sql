-- The last that receivers were told of each alert of each group, by whichever collector: one that
-- takes over tells the rest. Alertmanager makes groups of its own, and is told of all that fires.
WITH ended AS
(
    SELECT fingerprint, max(time) AS last
    FROM alert_transitions
    WHERE time >= now64(3) - toIntervalSecond({seconds:UInt32}) AND state = 'resolved'
    GROUP BY fingerprint
)
SELECT
    receiver,
    group_key,
    sent.fingerprint AS fingerprint,
    argMax(sent.status, sent.time) AS status,
    toUnixTimestamp64Milli(max(sent.time)) AS time_ms,
    toUnixTimestamp64Milli(max(ended.last)) AS ended_ms
FROM
(
    SELECT
        time,
        toString(receiver) AS receiver,
        group_key,
        told.1 AS fingerprint,
        toString(told.2) AS status
    FROM alert_notifications
    ARRAY JOIN arrayZip(fingerprints, statuses) AS told
    WHERE time >= now64(3) - toIntervalSecond({seconds:UInt32})
        AND group_key != ''
        AND outcome != 'dropped'
) AS sent
LEFT JOIN ended ON ended.fingerprint = sent.fingerprint
GROUP BY receiver, group_key, fingerprint
LIMIT {limit:UInt32}
