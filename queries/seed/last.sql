-- When the made-up polls end, unix time in seconds.
SELECT toUnixTimestamp(max(minute)) FROM services_1m
