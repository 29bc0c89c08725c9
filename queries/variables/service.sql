-- Services that were ever heard of.
SELECT DISTINCT service
FROM
(
    SELECT service, environment FROM services
    UNION ALL
    SELECT service, environment FROM heartbeats
)
WHERE position(service, char(92)) = 0 AND position(service, char(36, 95, 95)) = 0
    AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
ORDER BY service
LIMIT 5000
