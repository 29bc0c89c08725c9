-- Rows as 0.1.0 stored them, minutes old whenever this runs: what is older than its tier would be gone.
INSERT INTO upg.schema_migrations (version, name) SELECT number + 1, toString(number + 1) FROM numbers(12);

INSERT INTO upg.poll_spans (start, duration_ns, self_ns, cpu_ns, threshold_ns, service, environment, service_version,
    instance, function, file, line, cause, blame_function, blame_crate, stack_id, stall, trace_id, span_id, scope_version)
SELECT
    now64(9) - toIntervalMillisecond(210000 - number * 200), 20000000, 20000000, 1000000, 10000000, 'shop', 'prod', '1.4',
    concat('shop-', toString(number % 5)), concat('shop::f', toString(number % 4)), 'src/f.rs', 7, 'disk', 'store::sync',
    'store', 42, number % 100 = 99, unhex(leftPad(hex(number), 32, '0')), unhex(leftPad(hex(number + 1), 16, '0')), '0.1.0'
FROM numbers(1000);

INSERT INTO upg.stacks (stack_id, frames, seen) VALUES (42, ['fsync', 'store::sync', 'shop::f0'], now());

INSERT INTO upg.poll_histograms (minute, service, function, instance, calls, sum_ns, buckets)
SELECT toStartOfMinute(now()) - 120, 'shop', concat('shop::f', toString(number % 4)), 'shop-0', 100, 1000000, map(toInt16(-58), toUInt64(100))
FROM numbers(40);

INSERT INTO upg.mutes (service, function, muted, until, version, reason, active)
VALUES ('shop', 'shop::f3', now64(3), toDateTime64(0, 3), '', 'known', true);
