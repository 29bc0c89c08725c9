-- Environments that services were heard of in.
SELECT DISTINCT environment
FROM
(
    SELECT environment FROM services
    UNION ALL
    SELECT environment FROM heartbeats
)
WHERE environment != '' AND position(environment, char(92)) = 0 AND position(environment, char(36, 95, 95)) = 0
ORDER BY environment
LIMIT 1000
