-- Times in whole microseconds, which is what the collector stores: divided by what they have in common before the
-- codecs of old see them. Parts from before this step stay as they are until they are merged.
ALTER TABLE poll_spans
    MODIFY COLUMN start DateTime64(9, 'UTC') CODEC(GCD, Delta, T64('bit'), ZSTD(1));

ALTER TABLE poll_spans
    MODIFY COLUMN duration_ns UInt64 CODEC(GCD, T64('bit'), ZSTD(1)),
    MODIFY COLUMN self_ns UInt64 CODEC(GCD, T64('bit'), ZSTD(1)),
    MODIFY COLUMN cpu_ns UInt64 CODEC(GCD, T64('bit'), ZSTD(1)),
    MODIFY COLUMN runqueue_ns UInt64 CODEC(GCD, T64('bit'), ZSTD(1));
