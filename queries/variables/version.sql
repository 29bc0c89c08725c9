-- Versions of the chosen services.
SELECT DISTINCT service_version
FROM
(
    SELECT service, environment, service_version FROM services
    UNION ALL
    SELECT service, environment, service_version FROM heartbeats
)
WHERE service_version != '' AND position(service_version, char(92)) = 0 AND position(service_version, char(36, 95, 95)) = 0
    AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
    AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
ORDER BY service_version DESC
LIMIT 1000
