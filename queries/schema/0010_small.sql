-- What compresses better in another way, as measured (queries/README.md#size), and a way to what is rare.

-- Which of the forms of one poll holds: a finished one over a stall, a longer over a shorter. Of a finished one
-- an eighth of a doubling is enough, and takes a fifth of the bytes; rows from before this step win over later ones.
ALTER TABLE poll_spans
    MODIFY COLUMN form UInt64
        MATERIALIZED if(
            stall, duration_ns, 9223372036854775808 + toUInt64(floor(log2(greatest(duration_ns, 1)) * 8)))
        CODEC(ZSTD(1));

-- Neighbours in time: the differences, and of those bits in rows, because their upper ones are nothing mostly.
ALTER TABLE poll_spans
    MODIFY COLUMN start DateTime64(9, 'UTC') CODEC(Delta, T64('bit'), ZSTD(1));

-- The same for small numbers, the lower bits of which are random.
ALTER TABLE poll_spans
    MODIFY COLUMN cpu_ns UInt64 CODEC(T64('bit'), ZSTD(1)),
    MODIFY COLUMN runqueue_ns UInt64 CODEC(T64('bit'), ZSTD(1));

-- Few different ones, which neighbours repeat.
ALTER TABLE poll_spans
    MODIFY COLUMN stack_id UInt64 CODEC(ZSTD(3)),
    MODIFY COLUMN task_id UInt64 CODEC(ZSTD(1));

-- Few rows are of polls that had not returned: whoever looks for those reads only the blocks that have some. Parts
-- from before this step are read whole, for as long as they are kept.
ALTER TABLE poll_spans
    ADD INDEX IF NOT EXISTS stalls stall TYPE minmax GRANULARITY 1;
