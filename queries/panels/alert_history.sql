-- title: History of alerts
-- description: What became of alerts in the range, and whom notifications went to, newest first.
-- column: time_ms | unix ms | when
-- column: event | the state that it entered, silenced, unsilenced, or what became of a notification
-- column: alert | name of the rule; of a notification, names of all rules in it
-- column: severity | the label severity
-- column: service | the label service
-- column: function | the label function
-- column: summary | what is told of it
-- column: receiver | whom the notification went to
-- column: reason | why a notification was not taken; of a silence until when, by whom and why
-- column: fingerprints | of the labels of the alerts
-- cost: reads the range in alert_notifications, and alert_transitions
WITH
    named AS
    (
        SELECT fingerprint, any(alert) AS name, any(labels['service']) AS of_service,
            any(labels['function']) AS of_function
        FROM alert_transitions
        WHERE fingerprint IN
        (
            SELECT arrayJoin(fingerprints)
            FROM alert_notifications
            WHERE time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
        )
        GROUP BY fingerprint
    )
SELECT *
FROM
(
    SELECT
        toUnixTimestamp64Milli(time) AS time_ms,
        toString(state) AS event,
        toString(alert) AS alert,
        labels['severity'] AS severity,
        labels['service'] AS service,
        labels['function'] AS function,
        annotations['summary'] AS summary,
        '' AS receiver,
        annotations['silence'] AS reason,
        [fingerprint] AS fingerprints
    FROM alert_transitions FINAL
    WHERE time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
    UNION ALL
    SELECT
        toUnixTimestamp64Milli(any(sent.time)) AS time_ms,
        concat('notified: ', any(sent.outcome)) AS event,
        arrayStringConcat(arraySort(groupUniqArray(toString(named.name))), ', ') AS alert,
        '' AS severity,
        if(uniqExact(named.of_service) = 1, any(named.of_service), '') AS service,
        if(uniqExact(named.of_function) = 1, any(named.of_function), '') AS function,
        '' AS summary,
        toString(any(sent.receiver)) AS receiver,
        any(sent.reason) AS reason,
        groupArray(sent.fingerprint) AS fingerprints
    FROM
    (
        SELECT time, receiver, group_key, outcome, reason, arrayJoin(fingerprints) AS fingerprint
        FROM alert_notifications FINAL
        WHERE time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
    ) AS sent
    LEFT JOIN named USING (fingerprint)
    GROUP BY sent.time, sent.receiver, sent.group_key
)
WHERE (empty({service:Array(String)}) OR service IN {service:Array(String)})
    AND ({function:String} = '' OR function = {function:String})
-- What fires and is silenced at the same moment is silenced after it began to fire.
ORDER BY time_ms DESC, event IN ('silenced', 'unsilenced') DESC
LIMIT {limit:UInt32}
