-- Whether a task of a dump is stored: reads the granule that its key is in.
SELECT count() > 0
FROM tasks
WHERE service = {service:String}
    AND time = fromUnixTimestamp64Milli({time_ms:Int64}, 'UTC')
    AND instance = {instance:String}
    AND dump_id = {dump_id:UInt64}
    AND task_id = {task_id:UInt64}
