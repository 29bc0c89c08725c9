-- Every instance of the made-up services was heard of in the last minute, with the version of before its deploy until
-- then; one in fifty services fell silent an hour ago.
INSERT INTO heartbeats (service, environment, service_version, instance, first_seen, last_seen)
WITH
    {days:UInt64} * 86400 AS range_s,
    {end:DateTime('UTC')} - toIntervalSecond(range_s) AS range_from,
    sipHash64({seed:UInt64}, service_no, 5) / 18446744073709551616. AS chance,
    {end:DateTime('UTC')} - toIntervalSecond(toUInt64(range_s * (0.2 + 0.6 * chance))) AS deployed
SELECT
    concat('service-', toString(service_no)),
    if(service_no % 10 = 9, 'staging', 'production'),
    heard.1,
    concat('service-', toString(service_no), '-', toString(number % 5)),
    heard.2,
    heard.3
FROM
(
    SELECT number, intDiv(number, 5) AS service_no FROM numbers({services:UInt64} * 5)
)
ARRAY JOIN
[
    ('1.0.0', range_from, deployed),
    ('1.1.0', deployed, {end:DateTime('UTC')} - if(service_no % 50 = 49, toIntervalSecond(3600), toIntervalSecond(30)))
] AS heard
