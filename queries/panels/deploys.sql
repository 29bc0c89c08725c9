-- title: Deploys
-- description: When a version of a service was first heard of: markers for charts.
-- column: time | time | first heard of
-- column: text | service and version
-- column: tags | environment
-- column: service | the service
-- cost: reads the tables of services and heartbeats
SELECT
    min(first_seen) AS time,
    concat(service, ' ', service_version) AS text,
    any(toString(environment)) AS tags,
    service
FROM
(
    SELECT service, environment, service_version, first_seen FROM services
    UNION ALL
    SELECT service, environment, service_version, first_seen FROM heartbeats
)
WHERE service_version != ''
    AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
    AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
    AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
GROUP BY service, service_version
HAVING time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
ORDER BY time, text
LIMIT {limit:UInt32}
