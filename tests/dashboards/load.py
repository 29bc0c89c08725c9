"""Reads a dashboard with Grafana's own types, writes it again, and prints what got lost: names that Grafana does not know."""

import json
import re
import sys

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard


def lost(before, after, path=""):
    if isinstance(before, dict):
        for key, value in before.items():
            if value is None or value == {}:
                continue
            if not isinstance(after, dict) or key not in after:
                yield f"{path}.{key}"
            else:
                yield from lost(value, after[key], f"{path}.{key}")
    elif isinstance(before, list):
        if not isinstance(after, list) or len(before) != len(after):
            yield f"{path}[]"
            return
        for one, other in zip(before, after):
            yield from lost(one, other, f"{path}[]")
    elif before != after:
        yield f"{path} is {after!r}, not {before!r}"


plugins.register_default_plugins()
with open(sys.argv[1], encoding="utf-8") as file:
    dashboard = json.load(file)
again = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))
for line in sorted({re.sub(r"\d+\.", "", line) for line in lost(dashboard, again)}):
    print(line)
