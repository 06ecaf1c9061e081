"""A real Prometheus that scrapes a Saola every second, and what it makes of it."""

import json
import re
import signal
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path

from .load import Load
from .metrics import Admin
from .waiting import DEADLINE, wait_for

CONFIG = """
global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
scrape_configs:
  - job_name: saola
    static_configs:
      - targets: ["{target}"]
"""
# A replay of its log at the start takes seconds on a busy disk.
PATIENCE = 4 * DEADLINE


class Prometheus:
    """`with Prometheus(directory, server) as prometheus: prometheus.ask("up")`. `rules`: a file."""

    def __init__(self, directory, server, rules=None):
        self.directory = Path(directory)
        self.target = f"127.0.0.1:{server.admin_port}"
        config = self.directory / "prometheus.yml"
        config.write_text(CONFIG.format(target=self.target)
                          + (f"rule_files: [{json.dumps(str(rules))}]\n" if rules else ""))
        self.log_path = self.directory / "prometheus.log"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.directory}/data",
                 "--web.listen-address=127.0.0.1:0", "--query.lookback-delta=30s"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        listens = wait_for(lambda: re.search(r'"Listening on" address=(\S+)', self.log()),
                           "Prometheus to listen", PATIENCE)
        self.address = listens[1]
        wait_for(lambda: "Server is ready" in self.log(), "Prometheus to be ready", PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def _get(self, path, **query):
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
            return json.load(answer)["data"]

    def ask(self, expression):
        """[(labels, number)] of an instant query."""
        data = self._get("query", query=expression)
        assert data["resultType"] in ("vector", "scalar"), data
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        return [(one["metric"], float(one["value"][1])) for one in data["result"]]

    def number(self, expression):
        """The only one of the answer; None if there is none."""
        answer = self.ask(expression)
        assert len(answer) < 2, answer
        return answer[0][1] if answer else None

    def evaluated_rules(self):
        """Those of its file; none before all have been evaluated."""
        rules = [rule for group in self._get("rules")["groups"] for rule in group["rules"]]
        return all(rule["health"] != "unknown" for rule in rules) and rules

    def types(self):
        """By name of a metric that it has scraped: counter, gauge, histogram."""
        return {one["metric"]: one["type"]
                for one in self._get("targets/metadata", match_target='{job="saola"}', limit=10_000)}

    def scrapes(self):
        return self.number('count_over_time(up{job="saola"}[1d])') or 0

    def wait_scrapes(self, more):
        goal = self.scrapes() + more
        wait_for(lambda: self.scrapes() >= goal, f"{more} scrapes", PATIENCE, 0.1)


def counter_names(types):
    """The series of all counters, those of histograms too; not those of single workers, which come
    and go with them."""
    names = []
    for name, kind in types.items():
        if kind == "counter" and not name.startswith("saola_worker_"):
            names.append(name)
        if kind == "histogram":
            names += [f"{name}_bucket", f"{name}_count", f"{name}_sum"]
    return names + ["saola_worker_exits_total"]


def check_what_it_saw(prometheus):
    """It was always answered, and no counter has ever gone back."""
    assert prometheus.number('min_over_time(up{job="saola"}[1d])') == 1, "a scrape failed"
    names = counter_names(prometheus.types())
    assert "saola_http_requests_total" in names and len(names) > 20, names
    counted = 0
    for name in names:
        for labels, resets in prometheus.ask(f"resets({name}[1d])"):
            counted += 1
            assert resets == 0, f"{name} {labels} went back {resets:.0f} times"
    assert counted > 50, f"{counted} series of counters"


def watch(server, prometheus, reloads, recycles):
    """Load while the server reloads and its workers are recycled (its configuration has
    max_requests); then all that Prometheus must have seen. Returns the number of requests."""
    admin = Admin(server)
    prometheus.wait_scrapes(1)

    def recycled():
        return admin.total("saola_worker_exits_total", reason="max_requests")

    with Load(server) as load:
        for done in range(1, reloads + 1):
            # A reload brings new workers, so that they must be given the time to serve their share.
            goal = done * recycles / reloads
            wait_for(lambda: recycled() >= goal, f"{goal:.0f} recycled workers", PATIENCE)
            server.send_signal(signal.SIGHUP)
            wait_for(lambda: admin.total("saola_reloads_total", result="success") >= done, "a reload",
                     PATIENCE)
            prometheus.wait_scrapes(1)
    load.check()
    requests = "sum(saola_http_requests_total)"
    wait_for(lambda: prometheus.number(requests) == load.answered,
             f"{load.answered} requests; it has {prometheus.number(requests)}", PATIENCE, 0.1)
    prometheus.wait_scrapes(2)
    assert prometheus.number(requests) == load.answered
    assert prometheus.number('sum(saola_http_requests_total{status="200"})') == load.answered
    assert prometheus.number("sum(saola_http_request_duration_seconds_count)") == load.answered
    assert prometheus.number('saola_reloads_total{result="success"}') == reloads
    check_what_it_saw(prometheus)
    return load.answered
