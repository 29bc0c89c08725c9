-- title: Alerts
-- description: When alerts began to fire and were resolved: markers for charts.
-- reading: a mark beside a change of a chart says what was told of it, or that nothing was.
-- column: time | time | when
-- column: text | the alert, what became of it, and its service
-- column: tags | severity
-- column: service | the service
-- cost: reads the range in alert_transitions
SELECT
    time,
    concat(alert, ' ', toString(state), if(service = '', '', concat(': ', service))) AS text,
    labels['severity'] AS tags,
    labels['service'] AS service
FROM alert_transitions FINAL
WHERE time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
    AND state IN ('firing', 'resolved')
    AND tags != 'none'
    AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
ORDER BY time, text
LIMIT {limit:UInt32}
