-- Whether an instance is known to have been there at a time, or later.
SELECT count() > 0
FROM heartbeats
WHERE service = {service:String}
    AND environment = {environment:String}
    AND service_version = {version:String}
    AND instance = {instance:String}
    AND last_seen >= fromUnixTimestamp64Milli({time_ms:Int64}, 'UTC')
