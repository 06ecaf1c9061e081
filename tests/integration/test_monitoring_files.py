"""The dashboard and the alerts of deploy/: they can be used, and speak of metrics that exist."""

import json
import re
import subprocess

import pytest

from support import dashboard
from support.dashboard import ALERT_TESTS, ALERTS, queries, series

NAME = re.compile(r"\bsaola_\w+")
SELECTOR = re.compile(r"\b(saola_\w+)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
GROUPING = re.compile(r"\b(?:by|on|without)\s*\(([^)]*)\)")


def promtool(*arguments, text=None):
    done = subprocess.run(["promtool", *map(str, arguments)], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expressions():
    """All that is asked for anywhere."""
    alerts = re.sub(r"(?m)^\s*#.*$", "", ALERTS.read_text())
    found = re.findall(r"(?ms)^\s+expr: (.*?)^\s+(?:for|labels):", alerts)
    assert len(found) == alerts.count("- alert:")
    return found + [expression for _, expression in queries()]


def test_the_alerts_do_what_their_tests_say():
    assert "rules found" in promtool("check", "rules", ALERTS)
    promtool("test", "rules", ALERT_TESTS)
    tested = set(re.findall(r"alertname: (\w+)", ALERT_TESTS.read_text()))
    assert tested == set(re.findall(r"- alert: (\w+)", ALERTS.read_text())), "one has no test"


def test_every_question_of_the_dashboard_can_be_asked(tmp_path):
    rules = tmp_path / "rules.json"  # JSON is YAML
    rules.write_text(json.dumps({"groups": [{"name": "all", "rules": [
        {"record": f"panel_{number}", "expr": expression}
        for number, (_, expression) in enumerate(queries())]}]}))
    promtool("check", "rules", rules)


def test_every_metric_and_label_exists():
    known = series()
    assert len(known) > 50
    for expression in expressions():
        names = set(NAME.findall(re.sub(r'"[^"]*"', '""', expression)))
        assert names <= set(known), names - set(known)
        for name, matchers in SELECTOR.findall(expression):
            labels = set(MATCHER.findall(matchers))
            assert labels <= known[name], f"{name} has no {labels - known[name]}"
        for grouping in GROUPING.findall(expression):
            labels = set(filter(None, re.split(r"[,\s]+", grouping))) - {"__name__"}
            missing = [label for label in labels if not any(label in known[name] for name in names)]
            assert not names or not missing, f"{missing} in {expression}"


def test_the_dashboard_is_one():
    board = dashboard.dashboard()
    assert board["schemaVersion"] >= 38 and board["id"] is None  # Grafana 10; the importer numbers it
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    taken = {}
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]
    for panel in dashboard.panels():
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)
    variables = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z_]+)", json.dumps(board["panels"])))
    assert {name for name in used if not name.startswith("__")} <= variables


@pytest.mark.parametrize("name", ["datasource", "instance"])
def test_what_is_shown_can_be_chosen(name):
    assert name in {one["name"] for one in dashboard.dashboard()["templating"]["list"]}
