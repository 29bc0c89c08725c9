#!/usr/bin/env python3
"""How many parts small inserts leave in a real engine, and how much merges write.

    holdup engine run --path /var/tmp/holdup-merges --listen 127.0.0.1:8125
    holdup migrate --clickhouse-url http://127.0.0.1:8125
    python3 docs/scale/merges.py http://127.0.0.1:8125 --inserts 600 --rows 2000
"""

import argparse
import time
import urllib.request

INSERT = """
INSERT INTO poll_spans (start, duration_ns, self_ns, cpu_ns, runqueue_ns, threshold_ns, service, environment,
    service_version, instance, function, file, line, cause, blame_function, blame_crate, stack_id, thread_id,
    thread_name, runtime, worker, task_id, trace_id, span_id, parent_span_id, scope_version)
SELECT now64(9) - toIntervalMicrosecond(rand(1) % 2000000), toUInt64(1000 * (10000 + rand(2) % 100000)) AS taken, taken,
    1000 * (rand(3) % 1000), 1000 * (rand(4) % 500), 10000000, concat('service-', toString(rand(5) % 200 AS s)), 'prod',
    '1', concat('service-', toString(s), '-', toString(rand(6) % 10)), concat('f', toString(s), '_', toString(rand(7) % 25 AS f)),
    'a.rs', f, 'cpu', concat('b', toString(f)), 'dep', f * 3 + rand(8) % 3, rand(9) % 64, 'tokio-runtime-worker', 'main',
    rand(10) % 8, rand(11) % 1000, randomFixedString(16), randomFixedString(8), randomFixedString(8), '0.1.0'
FROM numbers({rows}) SETTINGS async_insert = 0
"""
PARTS = """
SELECT table, count(), sum(rows), sum(bytes_on_disk) FROM system.parts
WHERE active AND database = 'holdup' AND table IN ('poll_spans', 'functions_1m') GROUP BY table ORDER BY table FORMAT TSV
"""
EVENTS = """
SELECT event, value FROM system.events WHERE event IN ('Merge', 'MergedRows', 'MergeSourceParts', 'MergeTotalMilliseconds',
    'MergeTreeDataWriterBlocks', 'MergeTreeDataWriterRows', 'OSCPUVirtualTimeMicroseconds') ORDER BY event FORMAT TSV
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--inserts", type=int, default=600)
    parser.add_argument("--rows", type=int, default=2000)
    given = parser.parse_args()

    def ask(statement):
        return urllib.request.urlopen(given.url + "/?database=holdup", data=statement.encode()).read().decode()

    began = time.monotonic()
    for at in range(given.inserts):
        ask(INSERT.format(rows=given.rows))
        if at % 50 == 49:
            print(f"{at + 1} inserts, {time.monotonic() - began:.0f} s")
            print(ask(PARTS), flush=True)
    print(ask(EVENTS))


if __name__ == "__main__":
    main()
