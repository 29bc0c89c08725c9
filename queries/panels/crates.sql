-- title: Blamed crates
-- description: Which dependency blocks: blocked time by the crate of the first frame outside std, libc and the runtime.
-- reading: A dependency with most of it is replaced, called from spawn_blocking, or reported.
-- column: crate | the crate; empty for polls without a stack
-- column: blocked_ns | ns | blocked time that is blamed on it
-- column: share | share | 0 to 1 of all blocked time in the range
-- cost: reads a rollup of services, by minutes below steps of an hour, else by hours
WITH
    parts AS
    (
        SELECT minute AS at, crates
        FROM services_1m
        WHERE {step:UInt32} < 3600
            AND minute >= toStartOfMinute({from:DateTime64(3, 'UTC')}) AND minute < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
            AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
        UNION ALL
        SELECT hour AS at, crates
        FROM services_1h
        WHERE {step:UInt32} >= 3600
            AND hour >= toStartOfHour({from:DateTime64(3, 'UTC')}) AND hour < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
            AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
    ),
    by_crate AS
    (
        SELECT sumMap(crates) AS blocked FROM parts
    )
SELECT
    pair.1 AS crate,
    pair.2 AS blocked_ns,
    pair.2 / greatest(1, arraySum(mapValues(blocked))) AS share
FROM by_crate
ARRAY JOIN arrayZip(mapKeys(blocked), mapValues(blocked)) AS pair
ORDER BY blocked_ns DESC, crate
LIMIT {limit:UInt32}
