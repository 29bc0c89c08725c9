-- title: Tables
-- description: What Holdup keeps in ClickHouse, and what it takes on disk.
-- reading: Many parts in one table: inserts are too small, or merges lag.
-- column: table | the table
-- column: rows | count | rows, those that a merge will replace included
-- column: bytes | bytes | on disk
-- column: bytes_a_row | bytes | on disk, a row
-- column: parts | count | parts: many are a sign of inserts that are too small, or merges that lag
-- column: oldest_ms | unix ms | the oldest day that is kept; 0 where the table is not by time
-- cost: reads the list of parts
SELECT
    table,
    sum(system.parts.rows) AS rows,
    sum(bytes_on_disk) AS bytes,
    sum(bytes_on_disk) / greatest(1, sum(system.parts.rows)) AS bytes_a_row,
    count() AS parts,
    toUnixTimestamp(minIf(min_time, toUnixTimestamp(min_time) > 0)) * 1000 AS oldest_ms
FROM system.parts
WHERE database = currentDatabase() AND active
GROUP BY table
ORDER BY bytes DESC, table
LIMIT {limit:UInt32}
