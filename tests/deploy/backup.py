"""Runs ClickHouse's own backups, as `docs/backups.md` has them, in the engine's library with a disk for backups.

Arguments: the library, an empty folder, the page, the schema. Prints what was refused, and the counts of polls in the
table and in a rollup: before, restored, and after another poll.
"""

import json
import pathlib
import re
import sys

from library import Library, statements

library, folder, page, schema = map(pathlib.Path, sys.argv[1:])
configuration, = re.findall(r"```xml\n(.*?)```", page.read_text(), flags=re.DOTALL)
steps, = re.findall(r"```sql\n(.*?)```", page.read_text(), flags=re.DOTALL)
configuration = configuration.replace("/var/backups/clickhouse", f"{folder}/backups")
engine = Library(library, folder, configuration)
ask = engine.ask


def polls(count):
    ask("INSERT INTO holdup.poll_spans (service, function, start, duration_ns, self_ns, cause) "
        f"SELECT 'shop', 'pay', now64(9) + number, 50000000, 50000000, 'cpu' FROM numbers({count})")


def counted():
    return ask("SELECT count(), (SELECT sum(calls) FROM holdup.functions_1m) FROM holdup.poll_spans").split()


ask("CREATE DATABASE holdup")
ask("USE holdup")
for statement in statements(schema):
    ask(statement)
found = {}
for statement in filter(None, map(str.strip, steps.split(";\n"))):
    if statement.startswith("BACKUP"):
        # The second is of what came since the first.
        polls(10)
        found["before"] = counted()
    if statement.startswith("RESTORE"):
        # As on a server that has lost it.
        ask("USE default")
        ask("DROP DATABASE holdup SYNC")
    ask(statement)
found["restored"] = counted()
polls(1)
found["after"] = counted()
print(json.dumps({"refused": engine.refused, **found}))
engine.end()
