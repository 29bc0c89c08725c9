-- Keeps poll spans long enough for a range of many days.
ALTER TABLE poll_spans MODIFY TTL greatest(toDateTime(start), stored) + toIntervalDay({kept:UInt64})
