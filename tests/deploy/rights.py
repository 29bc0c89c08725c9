"""Whether the rights of `deploy/clickhouse/collector.sql` are enough, and no more: in the engine's library, whose one user
is given exactly those.

Arguments: the library, an empty folder, `deploy/clickhouse/collector.sql`, the schema, the folder `queries/panels`.
Prints what was refused of what has to be possible, and what was allowed of what must not be, as JSON.
"""

import json
import pathlib
import re
import sys
from xml.sax.saxutils import escape

from library import Library, statements

library, folder, rights, schema, panels = map(pathlib.Path, sys.argv[1:])
text = re.sub(r"^--.*$", "", rights.read_text(), flags=re.MULTILINE)
grants = [it.strip().rsplit(" TO ", 1)[0] for it in text.split(";") if it.strip().startswith("GRANT") and " ON " in it]
queries = "".join(f"<query>{escape(grant)}</query>" for grant in grants)
folder.joinpath("users.xml").write_text(f"""<clickhouse><profiles><default/></profiles><quotas><default/></quotas>
<users><default><password></password><networks><ip>::/0</ip></networks><profile>default</profile>
<quota>default</quota><grants>{queries}</grants></default></users></clickhouse>""")
engine = Library(library, folder, f"<clickhouse><users_config>{folder}/users.xml</users_config></clickhouse>")

needed = ["CREATE DATABASE IF NOT EXISTS holdup", "USE holdup"]
needed += statements(schema)
needed += [
    "INSERT INTO poll_spans (service, function, start, duration_ns) VALUES ('shop', 'pay', now64(9), 50000000)",
    "INSERT INTO schema_migrations (version, name) VALUES (1, 'a')",
    "SELECT version()",
    "SELECT throwIf(sum(calls) != 1) FROM functions_1m",
]
for name, value in {
    "from": "2026-01-01 00:00:00.000", "to": "2027-01-01 00:00:00.000", "service": "[]", "environment": "[]",
    "version": "[]", "instance": "[]", "state": "[]", "function": "", "search": "", "limit": "10", "step": "3600",
    "picked_from": "2026-01-01 00:00:00.000", "picked_to": "2027-01-01 00:00:00.000", "picked_over": "0",
    "picked_up_to": "1",
}.items():
    needed.append(f"SET param_{name} = '{value}'")
needed += [path.read_text() for path in sorted(panels.glob("*.sql"))]
denied = [
    "CREATE DATABASE elsewhere",
    "CREATE TABLE default.a (b UInt8) ENGINE = Memory",
    "DROP DATABASE holdup",
    "CREATE USER somebody",
    "GRANT SELECT ON *.* TO default",
    "SELECT * FROM system.users",
    "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
    f"SELECT * FROM file('{folder}/users.xml', 'LineAsString')",
    "SYSTEM SHUTDOWN",
    "ALTER TABLE poll_spans DELETE WHERE 1",
]
refused = [[statement, found] for statement in needed if (found := engine.error(statement))]
allowed = [[statement, found] for statement in denied if "ACCESS_DENIED" not in (found := engine.error(statement))]
print(json.dumps({"refused": refused, "allowed": allowed, "grants": len(grants), "tried": len(needed)}))
engine.end()
