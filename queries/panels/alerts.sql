-- title: Alerts
-- description: Alerts that are pending or fire at the end of the range, and those resolved in it.
-- column: alert | name of the rule
-- column: state | firing, pending or resolved
-- column: severity | the label severity
-- column: service | the label service
-- column: function | the label function
-- column: summary | what is told of it
-- column: value | the value of the rule's query
-- column: since_ms | unix ms | when it entered this state
-- column: flaps | 1 when it came and went so often that it is held
-- column: silenced | when it fires and nobody is told: until when, by whom and why
-- column: fingerprint | of its labels
-- cost: reads alert_transitions, a few rows an alert
SELECT
    alert,
    argMaxIf(entered.state, time, NOT of_silence) AS state,
    argMax(labels['severity'], time) AS severity,
    argMax(labels['service'], time) AS service,
    argMax(labels['function'], time) AS function,
    argMax(annotations['summary'], time) AS summary,
    argMax(entered.value, time) AS value,
    toUnixTimestamp64Milli(maxIf(time, NOT of_silence)) AS since_ms,
    argMaxIf(entered.flaps, time, NOT of_silence) AS flaps,
    -- A silence of an earlier time that it fired is over.
    if(
        state = 'firing'
            AND argMaxIf(entered.state, time, of_silence) = 'silenced'
            AND maxIf(time, of_silence) >= maxIf(time, NOT of_silence),
        argMaxIf(annotations['silence'], time, of_silence),
        ''
    ) AS silenced,
    fingerprint
FROM
(
    SELECT *, state IN ('silenced', 'unsilenced') AS of_silence
    FROM alert_transitions
    WHERE time < {to:DateTime64(3, 'UTC')}
) AS entered
WHERE (empty({service:Array(String)}) OR labels['service'] IN {service:Array(String)})
    AND ({function:String} = '' OR labels['function'] = {function:String})
GROUP BY alert, fingerprint
HAVING state IN ('pending', 'firing')
    OR (state = 'resolved' AND since_ms >= toUnixTimestamp64Milli({from:DateTime64(3, 'UTC')}))
ORDER BY
    indexOf(['resolved', 'pending', 'firing'], state) DESC,
    indexOf(['none', 'info', 'warning', 'error', 'critical'], severity) DESC,
    since_ms DESC
LIMIT {limit:UInt32}
