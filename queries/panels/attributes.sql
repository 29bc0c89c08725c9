-- title: What is different
-- description: Slow polls of a region of times and durations beside all others of the range: which values of which attributes are more frequent in it.
-- reading: A version, an instance or a cause with most of the region and little of the rest is where to look. Without a difference, it is the same work, only slower.
-- column: attribute | version, environment, instance, cause, blame, thread, runtime, task or stack
-- column: value | its value
-- column: picked | count | slow polls in the region with this value
-- column: rest | count | slow polls outside of it with this value
-- column: picked_share | share | 0 to 1 of the region
-- column: rest_share | share | 0 to 1 of the rest
-- cost: reads the raw spans of the range, by service and function when they are given, once, and adds up what is equal in all attributes
WITH
    start + toIntervalMillisecond(intDiv(duration_ns, 1000000)) AS ended,
    ended >= {picked_from:DateTime64(3, 'UTC')} AND ended < {picked_to:DateTime64(3, 'UTC')}
        AND self_ns > {picked_over:UInt64} AND self_ns <= {picked_up_to:UInt64} AS is_picked,
    -- Many polls are equal in all attributes: what follows is done once for those.
    kinds AS
    (
        SELECT
            service_version, environment, instance, cause, blame_function, thread_name, runtime, task_name, stack_id,
            countIf(is_picked) AS in_region,
            countIf(NOT is_picked) AS elsewhere
        FROM poll_spans FINAL
        WHERE NOT stall
            AND start >= {from:DateTime64(3, 'UTC')} AND start < {to:DateTime64(3, 'UTC')}
            AND (empty({service:Array(String)}) OR service IN {service:Array(String)})
            AND ({function:String} = '' OR function = {function:String})
            AND (empty({environment:Array(String)}) OR environment IN {environment:Array(String)})
            AND (empty({version:Array(String)}) OR service_version IN {version:Array(String)})
            AND (empty({instance:Array(String)}) OR instance IN {instance:Array(String)})
        GROUP BY service_version, environment, instance, cause, blame_function, thread_name, runtime, task_name, stack_id
    )
SELECT
    pair.1 AS attribute,
    pair.2 AS value,
    sum(in_region) AS picked,
    sum(elsewhere) AS rest,
    picked / greatest(1, any(all_in_region)) AS picked_share,
    rest / greatest(1, any(all_elsewhere)) AS rest_share
FROM
(
    SELECT
        in_region,
        elsewhere,
        sum(in_region) OVER () AS all_in_region,
        sum(elsewhere) OVER () AS all_elsewhere,
        [
            ('version', toString(service_version)),
            ('environment', toString(environment)),
            ('instance', toString(instance)),
            ('cause', toString(cause)),
            ('blame', toString(blame_function)),
            ('thread', toString(thread_name)),
            ('runtime', toString(runtime)),
            ('task', toString(task_name)),
            ('stack', if(stack_id = 0, '', lower(leftPad(hex(stack_id), 16, '0'))))
        ] AS pairs
    FROM kinds
)
ARRAY JOIN pairs AS pair
WHERE pair.2 != ''
GROUP BY attribute, value
ORDER BY abs(picked_share - rest_share) DESC, attribute, value
LIMIT {limit:UInt32}
