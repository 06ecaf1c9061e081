"""A real Prometheus scrapes Saola every second while everything happens to it."""

from support import processes
from support.dashboard import ALERTS, queries
from support.load import Load
from support.metrics import Admin
from support.prometheus import PATIENCE, Prometheus, check_what_it_saw, watch
from support.waiting import wait_for

CONFIG = {"app": {"workers": 2, "max_requests": 100}}


def test_nothing_is_lost_or_goes_back_through_reloads_and_recycles(saola, tmp_path):
    server = saola(config=CONFIG, admin=True)
    with Prometheus(tmp_path, server) as prometheus:
        watch(server, prometheus, reloads=5, recycles=5)


def test_nothing_goes_back_when_processes_are_killed(saola, tmp_path):
    server = saola(config={"app": {"workers": 2}}, admin=True)
    admin = Admin(server)
    with Prometheus(tmp_path, server) as prometheus, Load(server):
        prometheus.wait_scrapes(2)
        processes.kill(server.workers()[0])
        wait_for(lambda: admin.total("saola_worker_exits_total", reason="killed") == 1, "a death")
        prometheus.wait_scrapes(2)
        processes.kill(server.edge())
        wait_for(lambda: admin.total("saola_edge_restarts_total") == 1, "a new edge")
        server.wait_workers(2)
        prometheus.wait_scrapes(2)
        check_what_it_saw(prometheus)


# What needs something to go wrong or to end before there is a series, and what an app would bring.
QUIET = {"Requests that did not end as meant", "Turned away, given to another worker",
         "TLS handshakes that failed", "Ended, by why", "$app_metric", "$app_metric, per second",
         "Series by metric"}

# A loaded machine may well make requests wait.
BUSY_MACHINE = {"SaolaLatency", "SaolaQueue"}


def test_the_dashboard_has_data_and_the_alerts_are_silent(saola, tmp_path):
    server = saola(config={"app": {"workers": 2}}, admin=True)
    with Prometheus(tmp_path, server, rules=ALERTS) as prometheus, Load(server):

        def empty():
            shown = {title for title, expression in queries() if prometheus.ask(expression)}
            return {title for title, _ in queries()} - shown - QUIET

        prometheus.wait_scrapes(3)
        wait_for(lambda: not empty(), f"data on {empty()}", PATIENCE, 1)
        alerts = wait_for(prometheus.evaluated_rules, "the alerts to be evaluated", PATIENCE)
    assert [rule for rule in alerts if rule["health"] != "ok"] == []
    assert {rule["name"] for rule in alerts if rule["state"] == "firing"} <= BUSY_MACHINE
