-- What the tables hold and take.
SELECT
    table,
    sum(rows),
    round(sum(bytes_on_disk) / sum(rows), 1),
    formatReadableSize(sum(bytes_on_disk))
FROM system.parts
WHERE active AND database = currentDatabase()
GROUP BY table
HAVING sum(rows) > 1000
ORDER BY sum(bytes_on_disk) DESC
FORMAT TSV
