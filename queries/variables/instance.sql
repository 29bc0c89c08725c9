-- Instances of the chosen services, the last heard of first.
SELECT instance
FROM heartbeats
WHERE instance != '' AND position(instance, char(92)) = 0 AND position(instance, char(36, 95, 95)) = 0
    AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
    AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
    AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
GROUP BY instance
ORDER BY max(last_seen) DESC, instance
LIMIT 1000
