-- For how long a task may be idle before its service says that it is stuck; 0 where it says nothing.

ALTER TABLE tasks ADD COLUMN IF NOT EXISTS stuck_after_ns UInt64 CODEC(T64, ZSTD(1));
