"""What an application counts with prometheus_client is the total of all its workers, whatever becomes of them."""

import json
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.metrics import Admin
from support.server import APPS
from support.waiting import wait_for

BEFORE_ANY = 1_000_000  # as in metered.py


@pytest.fixture
def metered(saola, framework_venv):
    """Starts metered.py."""

    def start(env=None, **app):
        return saola("metered:application", env=env, tls=False, admin=True,
                     config={"app": {"venv": framework_venv, "workers": 4} | app})

    return start


def scrape(server, target="/metrics"):
    """{(name, ((label, value), ...)): number} of the app's own route, which is parsed strictly."""
    answer = server.get(target)
    assert answer.status == 200, answer.body
    samples = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in samples, f"{key} is there twice"
            samples[key] = sample.value
    return samples


def of_admin(server):
    """The same of the admin address: what the app counts, without the label that names the app."""
    samples = {}
    for family in text_string_to_metric_families(Admin(server).text()):
        for sample in family.samples:
            if not sample.name.startswith("saola_"):
                labels = dict(sample.labels)
                assert labels.pop("app") == "app"
                if "le" in labels:  # written as 1 there, as 1.0 by prometheus_client
                    labels["le"] = "+Inf" if labels["le"] == "+Inf" else str(float(labels["le"]))
                samples[sample.name, tuple(sorted(labels.items()))] = sample.value
    return samples


def run(server, code):
    """What `code` leaves in `result`, in some worker."""
    answer = server.exchange("POST", "/run", body=code.encode())
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


class Truth:
    """What was sent and answered, and so what the metrics must say."""

    def __init__(self, server):
        self.server = server
        self.lock = threading.Lock()
        self.hits, self.weights = {}, []
        self.turns = {}  # by pid, the last
        self.order = []  # pids of hits one after the other

    def hit(self, number):
        path, weight = "abc"[number % 3], number % 7
        answer = self.server.get(f"/hit?path={path}&weight={weight}")
        assert answer.status == 200, answer.body
        told = json.loads(answer.body)
        with self.lock:
            self.hits[path] = self.hits.get(path, 0) + 1
            self.weights.append(weight)
            self.turns[told["pid"]] = max(self.turns.get(told["pid"], 0), told["turn"])
            self.order.append(told["pid"])

    def many(self, count):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self.hit, range(count)))

    def reach_all(self):
        """Hits, until every worker has had one; then one more, which is the most recent."""
        wait_for(lambda: self.many(16) or set(self.server.workers()) <= set(self.turns),
                 "a request to every worker")
        self.hit(1)

    def scrape_of_the_living(self):
        """A process that ends has its place a little longer than its command line."""
        found = scrape(self.server)
        shown = {int(labels[0][1]) for name, labels in found if name == "turn_liveall"}
        return found if shown == set(self.server.workers()) else None

    def check(self):
        found = wait_for(self.scrape_of_the_living, "the gauges of the living alone")
        for path, count in self.hits.items():
            assert found["hits_total", (("path", path),)] == count
            assert found["sizes_count", (("path", path),)] == count
        assert sum(found["sizes_sum", (("path", path),)] for path in self.hits) == sum(self.weights)
        assert found["weights_sum", ()] == sum(self.weights)
        for bound in ("1.0", "2.0", "5.0", "+Inf"):
            below = sum(weight <= float(bound) for weight in self.weights)
            assert found["weights_bucket", (("le", bound),)] == below
        assert found["weights_count", ()] == len(self.weights)
        self.check_gauges(found)
        # The app's own route has a process's and Python's metrics beside them.
        shown = of_admin(self.server)
        assert shown and shown.items() <= found.items()
        assert {name for name, _ in shown} >= {"hits_total", "sizes_sum", "weights_bucket",
                                               "turn_sum", "turn_liveall", "turn_mostrecent"}

    def check_gauges(self, found):
        living = set(self.server.workers())
        live = [turn for pid, turn in self.turns.items() if pid in living]
        assert found["turn_sum", ()] == sum(self.turns.values())
        assert found["turn_max", ()] == max(self.turns.values())
        assert found["turn_min", ()] == min(self.turns.values())
        assert found["turn_livesum", ()] == sum(live)
        assert found["turn_livemax", ()] == max(live, default=0)
        assert found["turn_livemin", ()] == min(live, default=BEFORE_ANY)
        last = self.order[-1]
        assert found["turn_mostrecent", ()] == self.turns[last]
        if last in living:
            assert found["turn_livemostrecent", ()] == self.turns[last]
        by_pid = {int(labels[0][1]): value for (name, labels), value in found.items()
                  if name == "turn_liveall"}
        assert by_pid == {pid: self.turns.get(pid, 0) for pid in living}
        with_dead = {int(labels[0][1]): value for (name, labels), value in found.items()
                     if name == "turn_all"}
        assert with_dead.items() >= by_pid.items()
        assert all(value == self.turns.get(pid, 0) for pid, value in with_dead.items())


@pytest.mark.parametrize("preload", [False, True], ids=["import", "preload"])
def test_the_totals_of_all_workers_stay_true(metered, preload):
    server = metered(preload=preload)
    truth = Truth(server)
    truth.reach_all()
    truth.check()

    victim = truth.order[-1]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: victim not in server.workers() and len(server.workers()) == 4,
             "a successor of the killed one")
    server.wait_log("all workers serve again")
    truth.check()  # what the victim has counted is not lost
    truth.reach_all()
    truth.check()

    before = set(server.workers())
    server.send_signal(signal.SIGHUP)
    wait_for(lambda: not before & set(server.workers()) and len(server.workers()) == 4,
             "workers of the next generation")
    truth.reach_all()
    truth.check()


def test_recycling_loses_nothing(metered):
    server = metered(max_requests=25)
    truth = Truth(server)
    first = set(server.workers())
    wait_for(lambda: truth.many(40) or
             (not first & set(server.workers()) and len(truth.turns) >= 12), "many recyclings", 60)
    wait_for(lambda: len(server.workers()) == 4, "four workers")
    truth.hit(1)
    # Gauges of workers that are on their way out are not this test's.
    found = scrape(server)
    assert sum(found["hits_total", (("path", path),)] for path in "abc") == len(truth.weights)
    assert found["weights_count", ()] == len(truth.weights)
    assert found["turn_sum", ()] == sum(truth.turns.values())
    assert found["turn_max", ()] == max(truth.turns.values())


def test_every_way_to_expose_shows_what_other_workers_have_counted(metered):
    server = metered()
    truth = Truth(server)
    truth.reach_all()
    count = truth.hits["a"]
    with ThreadPoolExecutor(8) as pool:  # whoever answers
        for found in pool.map(lambda _: scrape(server, "/prometheus"), range(32)):
            assert found["hits_total", (("path", "a"),)] == count
    assert run(server, "from prometheus_client import REGISTRY\n"
                       "result = REGISTRY.get_sample_value('hits_total', {'path': 'a'})") == count
    only = scrape(server, "/prometheus?name[]=weights_count")
    assert list(only) == [("weights_count", ())]


def test_what_prometheus_client_can_do(metered):
    """One worker: each piece of its interface that reaches a value."""
    server = metered(workers=1)
    run(server, """
from prometheus_client import Counter, Gauge, Histogram, Info, Enum
me.c = Counter("c", "help", ["a", "b"])
me.c.labels("1", "x").inc(2.5)
me.c.labels(b="y", a="1").inc()
me.c.labels("2", "x").inc(exemplar={"trace": "t"})
me.r = Counter("r", "help")
me.r.inc(3)
me.r.reset()
me.f = Gauge("f", "help")
me.f.set_function(lambda: 42)
me.d = Gauge("d", "help", multiprocess_mode="livesum")
me.d.inc(5); me.d.dec(2)
me.i = Info("i", "help"); me.i.info({"version": "1"})
me.e = Enum("e", "help", states=["on", "off"]); me.e.state("off")
me.n = Histogram("n", "help", buckets=(-1, 0, 1))
me.n.observe(-5)
me.h = Histogram("h", "help", ["l"])
me.h.labels("v").observe(0.3, exemplar={"trace": "u"})
""")
    found = scrape(server)
    assert found["c_total", (("a", "1"), ("b", "x"))] == 2.5
    assert found["c_total", (("a", "1"), ("b", "y"))] == 1
    assert found["r_total", ()] == 0
    assert found["f", ()] == 42
    assert found["d", ()] == 3
    assert found["i_info", (("version", "1"),)] == 1
    assert found["e", (("e", "off"),)] == 1
    assert ("n_sum", ()) not in found
    assert found["n_bucket", (("le", "-1.0"),)] == 1
    text = run(server, "from prometheus_client.openmetrics.exposition import generate_latest\n"
                       "from prometheus_client import REGISTRY\n"
                       "result = generate_latest(REGISTRY).decode()")
    assert '# {trace="t"} 1.0' in text
    assert 'h_bucket{l="v",le="0.5"} 1.0 # {trace="u"} 0.3' in text

    run(server, "me.c.remove('1', 'x'); me.h.clear(); me.c.remove_by_labels({'a': '2'})")
    found = scrape(server)
    assert [key for key in found if key[0] == "c_total"] == [("c_total", (("a", "1"), ("b", "y")))]
    assert not [key for key in found if key[0].startswith("h_")]
    run(server, "me.c.labels('1', 'x').inc()")
    assert scrape(server)["c_total", (("a", "1"), ("b", "x"))] == 1


def test_a_child_of_the_app_adds_to_the_counters_and_keeps_its_gauges(metered):
    server = metered(workers=1)
    run(server, """
import os
me.hits.labels("x").inc()
me.gauges["sum"].set(3)
pid = os.fork()
if pid == 0:
    try:
        me.hits.labels("x").inc()
        me.gauges["sum"].inc(100)
        assert me.gauges["sum"]._value.get() == 103
    finally:
        os._exit(0)
os.waitpid(pid, 0)
""")
    found = scrape(server)
    assert found["hits_total", (("path", "x"),)] == 2
    assert found["turn_sum", ()] == 3


def test_a_flood_of_labels_is_bounded_and_said_once(metered):
    server = metered(workers=2)
    flood = """
import os
from prometheus_client import Counter
if not hasattr(me, "flood"):
    me.flood = Counter("flood", "help", ["l"])
for n in range(6000):
    me.flood.labels(f"{n:04}" + "x" * 2000).inc()
result = os.getpid(), len(me.flood._metrics)
"""
    flooded = set()

    def both():
        pid, made = run(server, flood)
        assert made == 6000, "the application goes on"
        flooded.add(pid)
        return len(flooded) == 2

    wait_for(both, "both workers")
    Truth(server).many(20)
    found = scrape(server)
    # What had its place goes on; where there was none, it is the worker's own.
    assert sum(found["weights_bucket", (("le", bound),)] for bound in ("+Inf",)) == 20
    assert len([key for key in found if key[0] == "flood_total"]) == 6000
    run(server, """
from prometheus_client import Gauge
Gauge("g", "help", ["l"]).labels("y" * 5000).inc()
""")
    server.wait_log("longer than 4096 bytes")
    assert server.log().count("has no room for one more metric") == 1


def test_files_of_multiprocess_mode_are_left_alone(metered, tmp_path):
    server = metered(workers=1, env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)})
    assert "PROMETHEUS_MULTIPROC_DIR is set" in server.log()
    Truth(server).many(3)
    assert list(tmp_path.glob("counter_*.db"))
    assert run(server, "import prometheus_client.values as v; result = v.ValueClass.__name__") \
        == "MmapedValue"


def test_off_leaves_prometheus_client_alone(metered):
    server = metered(workers=1, metrics_memory="off")
    assert run(server, "import prometheus_client.values as v; result = v.ValueClass.__name__") \
        == "MutexValue"


def test_an_app_without_prometheus_client_does_not_get_it(saola):
    server = saola("metered_not:application")
    assert json.loads(server.get().body) == []


FRAMEWORKS = {
    "fastapi": ("metered_fastapi", "http_requests_total",
                {"handler": "/hit", "method": "GET", "status": "2xx"}),
    "starlette": ("metered_starlette", "starlette_requests_total",
                  {"app_name": "starlette", "method": "GET", "path": "/hit", "status_code": "200"}),
    "django": ("metered_django", "django_http_responses_total_by_status_view_method_total",
               {"method": "GET", "status": "200", "view": "hit"}),
}


@pytest.mark.parametrize("preload", [False, True], ids=["import", "preload"])
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_metrics_routes_of_frameworks(saola, framework_venv, name, preload):
    module, counter, labels = FRAMEWORKS[name]
    server = saola(f"{module}:application", tls=False, config={
        "app": {"venv": framework_venv, "directory": str(APPS / "frameworks"), "workers": 3,
                "max_requests": 40, "preload": preload}})
    key = counter, tuple(sorted(labels.items()))
    sent = 0
    for _ in range(4):
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: server.get("/hit").status, range(30)))
        assert set(answers) == {200}
        sent += len(answers)
        # A middleware may count after the answer has gone.
        wait_for(lambda: scrape(server).get(key) == sent, f"{key} to be {sent}")
