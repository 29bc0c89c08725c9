-- The migrations that a database has had; made before the first of them.
CREATE TABLE IF NOT EXISTS schema_migrations
(
    version  UInt32,
    name     String,
    applied  DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree
ORDER BY version
