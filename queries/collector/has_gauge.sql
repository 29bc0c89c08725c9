-- Whether a number of a runtime is stored: reads the granule that its key is in.
SELECT count() > 0
FROM runtime_gauges
WHERE service = {service:String}
    AND metric = {metric:String}
    AND instance = {instance:String}
    AND runtime = {runtime:String}
    AND time = fromUnixTimestamp64Milli({time_ms:Int64}, 'UTC')
