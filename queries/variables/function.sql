-- Functions of the chosen services that were ever slow, the last seen first.
SELECT function
FROM functions
WHERE position(function, char(92)) = 0 AND position(function, char(36, 95, 95)) = 0
    AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
GROUP BY function
ORDER BY max(last_seen) DESC, function
LIMIT 10000
