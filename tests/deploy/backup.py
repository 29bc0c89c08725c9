"""Runs ClickHouse's own backups, as `docs/backups.md` has them, in the engine's library with a disk for backups.

Arguments: the library, an empty folder, the page, the schema. Prints what was refused, and the counts of polls in the
table and in a rollup: before, restored, and after another poll.
"""

import ctypes
import json
import os
import pathlib
import re
import sys

library, folder, page, schema = map(pathlib.Path, sys.argv[1:])
configuration, = re.findall(r"```xml\n(.*?)```", page.read_text(), flags=re.DOTALL)
statements, = re.findall(r"```sql\n(.*?)```", page.read_text(), flags=re.DOTALL)
configuration = configuration.replace("/var/backups/clickhouse", f"{folder}/backups")
folder.joinpath("configuration.xml").write_text(configuration)

engine = ctypes.CDLL(str(library))
engine.chdb_connect.restype = ctypes.POINTER(ctypes.c_void_p)
engine.chdb_query.restype = ctypes.c_void_p
engine.chdb_query.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
engine.chdb_result_error.restype = ctypes.c_char_p
engine.chdb_result_buffer.restype = ctypes.c_void_p
engine.chdb_result_length.restype = ctypes.c_size_t
for name in ["error", "buffer", "length"]:
    getattr(engine, f"chdb_result_{name}").argtypes = [ctypes.c_void_p]
arguments = [b"holdup", f"--path={folder}/data".encode(), f"--config-file={folder}/configuration.xml".encode()]
opened = engine.chdb_connect(len(arguments), (ctypes.c_char_p * len(arguments))(*arguments))
if not opened:
    sys.exit("the library refused the folder")
refused = []


def ask(statement):
    result = engine.chdb_query(opened[0], statement.encode(), b"TSV")
    error = engine.chdb_result_error(result)
    if error:
        refused.append([statement, error.decode(errors="replace")])
        return ""
    length = engine.chdb_result_length(result)
    return ctypes.string_at(engine.chdb_result_buffer(result), length).decode() if length else ""


def polls(count):
    ask("INSERT INTO holdup.poll_spans (service, function, start, duration_ns, self_ns, cause) "
        f"SELECT 'shop', 'pay', now64(9) + number, 50000000, 50000000, 'cpu' FROM numbers({count})")


def counted():
    return ask("SELECT count(), (SELECT sum(calls) FROM holdup.functions_1m) FROM holdup.poll_spans").split()


ask("CREATE DATABASE holdup")
ask("USE holdup")
for statement in schema.read_text().split(";\n"):
    if statement.strip():
        ask(statement)
found = {}
for statement in filter(None, map(str.strip, statements.split(";\n"))):
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
print(json.dumps({"refused": refused, **found}))
sys.stdout.flush()
# The library's threads may be at work.
os._exit(0)
