"""Renders the chart with the values on stdin, and checks what comes out against Kubernetes's schemas.

Arguments: the chart, a version of Kubernetes. Prints {"lint": [...], "objects": [...], "refused": null or text}.
"""

import json
import sys

import helm_python as helm
import kubernetes_validate
import yaml

# No schema of these comes with Kubernetes.
CUSTOM = {"ServiceMonitor", "PrometheusRule"}

chart_path, version = sys.argv[1:]
values = json.load(sys.stdin)
findings = helm.lint(chart_path, values=values)["messages"]
objects, refused = [], None
try:
    with helm.Chart.load(chart_path) as chart:
        rendered = chart.render(values, name="shop", namespace="observability")
    for name, text in sorted(rendered.items()):
        if name.endswith(".tpl"):
            continue
        for it in yaml.safe_load_all(text):
            if it is None:
                continue
            if it["kind"] not in CUSTOM:
                kubernetes_validate.validate(it, version, strict=True)
            objects.append(it)
except (helm.HelmError, kubernetes_validate.ValidationError) as error:
    refused = str(error)
lint = [it["error"] for it in findings if it["severity"] > 1]
print(json.dumps({"lint": lint, "objects": objects, "refused": refused}))
