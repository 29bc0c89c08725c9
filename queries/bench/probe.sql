-- The spans of a service that can be asked for: the bench of the collector looks when one is among them.
SELECT lower(hex(span_id))
FROM holdup.poll_spans
WHERE service = {service:String} AND start > now() - INTERVAL 5 MINUTE
