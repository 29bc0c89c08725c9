-- Whether polls of a function in an instance are stored for a minute, this many or more of them.
SELECT sum(calls) >= {calls:UInt64}
FROM poll_histograms
WHERE minute = toDateTime({minute_s:UInt32}, 'UTC')
    AND service = {service:String}
    AND function = {function:String}
    AND instance = {instance:String}
