-- Closes episodes that a collector left open which did not come back. One that does comes to the same.
INSERT INTO episodes
SELECT * REPLACE (true AS closed, revision + 1 AS revision, now() AS stored, {writer:UInt64} AS writer)
FROM episodes FINAL
WHERE NOT closed
    AND started >= now() - toIntervalDay(2)
    AND ended < now64(9) - toIntervalSecond({seconds:UInt32})
    AND stored < now() - toIntervalSecond({seconds:UInt32})
