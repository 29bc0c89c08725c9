-- Reports, a minute each, of the runtime of one instance of each service, and of its process.
INSERT INTO runtime_gauges (time, service, instance, runtime, metric, value)
WITH
    (salt) -> sipHash64({seed:UInt64}, number, salt) / 18446744073709551616. AS chance,
    toUnixTimestamp({end:DateTime('UTC')}) * 1000 AS end_ms
SELECT
    fromUnixTimestamp64Milli(toInt64(end_ms - (intDiv(number, {services:UInt64}) + 1) * 60000
        + number % {services:UInt64} * 60000 / {services:UInt64}), 'UTC'),
    concat('service-', toString(number % {services:UInt64})),
    concat('service-', toString(number % {services:UInt64}), '-0'),
    measured.1,
    measured.2,
    measured.3
FROM numbers({minutes:UInt64} * {services:UInt64})
ARRAY JOIN
[
    ('main', 'holdup.runtime.workers', 8.),
    ('main', 'holdup.runtime.busy', 480 * pow(chance(1), 2)),
    ('main', 'holdup.runtime.tasks', floor(1000 * chance(2))),
    ('main', 'holdup.runtime.queue', floor(50 * pow(chance(3), 4))),
    ('main', 'holdup.runtime.parks', floor(100000 * chance(4))),
    ('main', 'holdup.runtime.lag', 2 * pow(chance(5), 6)),
    ('main', 'holdup.runtime.coverage', 0.5 + chance(6) / 2),
    ('', 'holdup.poll.captured', floor(30 * chance(7))),
    ('', 'holdup.poll.dropped', if(chance(8) > 0.999, 5., 0.))
] AS measured
SETTINGS max_partitions_per_insert_block = 100
