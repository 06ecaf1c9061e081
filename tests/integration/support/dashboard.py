"""deploy/grafana/saola.json and deploy/prometheus/alerts.yml, read for tests."""

import json
import re

from .server import ROOT

ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
ALERT_TESTS = ROOT / "deploy" / "prometheus" / "alerts_test.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "saola.json"

# What Grafana puts in their place.
VARIABLES = {"$__rate_interval": "10s", "$__range": "1h", "$instance": ".+", "$app_metric": "up",
             "$app": ".+"}


def dashboard():
    return json.loads(DASHBOARD.read_text())


def panels():
    """Those that show something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries():
    """[(panel's title, expression as Prometheus takes it)]"""
    found = []
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            assert "$" not in expression, expression
            found.append((panel["title"], expression))
    return found


def catalog():
    """{name: (type, set of labels)} of common/metrics/catalog.cc."""
    text = (ROOT / "common" / "metrics" / "catalog.cc").read_text()
    found = {}
    for name, kind, labels in re.findall(
            r'MetricDescription\{"(saola_\w+)",\s*k(\w+),\s*"([^"]*)"', text):
        found[name] = kind.lower(), set(filter(None, labels.split(", ")))
    return found


def series():
    """{name of a series: labels that it has} for all of the catalog, as Prometheus stores them."""
    found = {}
    for name, (kind, labels) in catalog().items():
        labels = labels | {"job", "instance"}
        if kind == "histogram":
            found[f"{name}_bucket"] = labels | {"le"}
            found[f"{name}_count"] = found[f"{name}_sum"] = labels
        else:
            found[name] = labels
    return found
