-- The services and the names of functions and metrics that are in use, those seen last first. The name
-- is empty where only the service is known.
SELECT service, name
FROM
(
    SELECT toString(service) AS service, toString(function) AS name, toDateTime(max(last_seen)) AS seen
    FROM functions
    WHERE last_seen >= now() - INTERVAL 90 DAY
    GROUP BY service, function
    UNION ALL
    SELECT toString(service) AS service, toString(function) AS name, max(minute) AS seen
    FROM poll_histograms
    WHERE minute >= now() - INTERVAL 1 DAY
    GROUP BY service, function
    UNION ALL
    SELECT toString(service) AS service, toString(function) AS name, toDateTime(max(start)) AS seen
    FROM suspects
    WHERE start >= now() - INTERVAL 1 DAY
    GROUP BY service, function
    UNION ALL
    SELECT toString(service) AS service, toString(metric) AS name, toDateTime(max(time)) AS seen
    FROM runtime_gauges
    WHERE time >= now() - INTERVAL 1 DAY
    GROUP BY service, metric
    UNION ALL
    SELECT toString(service) AS service, '' AS name, toDateTime(max(last_seen)) AS seen
    FROM heartbeats
    GROUP BY service
)
GROUP BY service, name
ORDER BY max(seen) DESC
LIMIT {limit:UInt64}
