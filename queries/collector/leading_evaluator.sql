-- Of the collectors that evaluate rules and were heard of lately, the one that tells receivers: that
-- with the lowest id, so that all come to the same without a word between them. Empty when none was.
SELECT min(evaluator)
FROM alert_evaluators
WHERE heard > now64(3) - toIntervalSecond({seconds:UInt32})
