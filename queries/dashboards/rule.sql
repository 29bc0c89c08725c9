-- The rows of an alert rule as Grafana takes them: texts, which tell alerts apart, and one number.
SELECT
    COLUMNS('^({labels})\\z'),
    toFloat64(value) AS value
FROM
(
{expr}
)
WHERE {condition}
