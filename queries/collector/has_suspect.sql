-- Whether a suspect is stored: reads the granule that its key is in.
SELECT count() > 0
FROM suspects
WHERE service = {service:String}
    AND function = {function:String}
    AND start = fromUnixTimestamp64Nano({start_ns:Int64}, 'UTC')
    AND span_id = unhex({span_id:String})
