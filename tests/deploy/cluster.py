"""Runs the schema of a cluster in the engine's library, told of a cluster that has this process alone.

Arguments: the library, an empty folder, the statements of the cluster form, those of the single form, the folder
`queries/panels`. Prints what the engine refused, as JSON. Keeper is ClickHouse's own for tests: it takes tables, and
neither rows nor changes of them. So the tables are made twice: replicated, and plain below the ones over all shards.
"""

import json
import pathlib
import sys

from library import Library, statements

library, folder, cluster, single, panels = map(pathlib.Path, sys.argv[1:])
CONFIGURATION = """<clickhouse>
  <zookeeper><implementation>testkeeper</implementation></zookeeper>
  <macros><shard>01</shard><replica>first</replica></macros>
  <tcp_port>9000</tcp_port>
  <remote_servers><fleet><shard><internal_replication>true</internal_replication>
    <replica><host>127.0.0.1</host><port>9000</port></replica>
  </shard></fleet></remote_servers>
</clickhouse>"""
# As `collector/src/store/cluster.rs` sets them.
SETTINGS = ["distributed_foreground_insert = 1", "distributed_product_mode = 'global'", "load_balancing = 'in_order'"]
PARAMETERS = {
    "from": "2026-01-01 00:00:00.000", "to": "2027-01-01 00:00:00.000", "service": "[]", "environment": "[]",
    "version": "[]", "instance": "[]", "state": "[]", "function": "", "search": "", "limit": "100", "step": "3600",
    "picked_from": "2026-01-01 00:00:00.000", "picked_to": "2027-01-01 00:00:00.000", "picked_over": "0",
    "picked_up_to": "1000000000",
}
engine = Library(library, folder, CONFIGURATION)
ask = engine.ask


def here(statement):
    """Without what needs servers that listen to each other."""
    return statement.replace(" ON CLUSTER `fleet`", "")


of_cluster = statements(cluster)
is_distributed = lambda it: "ENGINE = Distributed" in it
for statement in of_cluster:
    ask(f"EXPLAIN AST {statement}")

ask("CREATE DATABASE replicated")
ask("USE replicated")
made = [it for it in of_cluster if it.startswith("CREATE") and not is_distributed(it) and "_by_day" not in it]
for statement in made:
    ask(here(statement).replace("{uuid}", "{database}/{table}"))
replicated = ask("SELECT count() FROM system.tables WHERE database = 'replicated' AND engine LIKE 'Replicated%'")

for database in ["holdup", "holdup_local"]:
    ask(f"CREATE DATABASE {database}")
ask("USE holdup_local")
for statement in statements(single) + [here(it) for it in of_cluster if is_distributed(it)]:
    ask(statement)
ask("USE holdup")
for setting in SETTINGS:
    ask(f"SET {setting}")
ask("SET insert_deduplication_token = 'a batch', deduplicate_blocks_in_dependent_materialized_views = 1")
for _ in range(2):
    ask("INSERT INTO poll_spans (service, function, start, duration_ns, self_ns, cause) "
        "SELECT 'shop', 'pay', toDateTime64('2026-06-01 00:00:00', 9, 'UTC') + number, 50000000, 50000000, 'cpu' "
        "FROM numbers(10)")
counted = ask("SELECT count(), (SELECT sum(calls) FROM functions_1m), (SELECT sum(calls) FROM services_1h) "
              "FROM poll_spans FINAL")
for name, value in PARAMETERS.items():
    ask("SET param_{} = '{}'".format(name, value.replace("'", "\\'")))
asked = {path.stem: len(ask(path.read_text()).splitlines()) for path in sorted(panels.glob("*.sql"))}
print(json.dumps({"refused": engine.refused, "replicated": replicated, "counted": counted, "rows": asked}))
engine.end()
