-- Which run of a collector wrote an episode, so that each sees what others wrote of those that it has polls of, and a
-- way to what was written last.
ALTER TABLE episodes
    ADD COLUMN IF NOT EXISTS writer UInt64 CODEC(ZSTD(1)),
    ADD INDEX IF NOT EXISTS stored stored TYPE minmax GRANULARITY 1;
