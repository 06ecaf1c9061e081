"""`saola reload --rolling`: worker by worker, and no request pays for it."""

import json
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from support.load import Load
from support.server import binary
from support.waiting import DEADLINE, wait_for

# The first process that imports a version goes on at once; the later ones wait while there is a
# file `hold`, and the second one dies if there is a file `crash`.
APP = """
import os
import pathlib
import time
VERSION = {version!r}
HERE = pathlib.Path(__file__).parent
(HERE / f"{{VERSION}}.{{os.getpid()}}").touch()
COUNT = len(list(HERE.glob(VERSION + ".*")))
while COUNT > 1 and (HERE / "hold").exists():
    time.sleep(0.005)
if COUNT == 2 and (HERE / "crash").exists():
    os._exit(9)

def application(environ, start_response):
    if environ["PATH_INFO"] == "/gate":
        from gates import pass_gate
        pass_gate("request")
    body = environ["wsgi.input"].read() if environ["REQUEST_METHOD"] == "POST" else VERSION.encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


class Site:
    def __init__(self, saola, workers=3, **app):
        self.apps = Path(saola.directory())
        self.write("one")
        run = Path(saola.directory()) / "run"
        apps = Path(__file__).resolve().parents[1] / "apps"
        app = {"directory": str(self.apps), "pythonpath": [str(apps)], "workers": workers, **app}
        self.server = saola("versioned:application",
                            config={"app": app, "server": {"runtime_dir": str(run)}})
        self.socket = str(run / "saola.sock")

    def write(self, version):
        (self.apps / "versioned.py").write_text(APP.format(version=version))

    def start_reload(self, *options):
        return subprocess.Popen([binary(), "reload", "--socket", self.socket, *options],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def reload(self, *options):
        command = self.start_reload(*options)
        out, err = command.communicate(timeout=2 * DEADLINE)
        return command.returncode, out, err

    def status(self):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE)
            client.connect(self.socket)
            client.sendall(b'{"command":"status"}\n')
            return json.loads(client.makefile("rb").readline())["status"]

    def ready(self):
        """Ready workers by generation."""
        counts = {}
        for worker in self.status()["workers"]:
            if worker["state"] == "ready":
                counts[worker["generation"]] = counts.get(worker["generation"], 0) + 1
        return counts

    def versions(self, requests=30):
        return {self.server.get().text for _ in range(requests)}


class Watch:
    """Counts the workers as often as it can."""

    def __init__(self, site):
        self.site = site
        self.most, self.least_ready, self.looks = 0, 10 ** 6, 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        while not self.over.is_set():
            workers = self.site.status()["workers"]
            self.most = max(self.most, len(workers))
            self.least_ready = min(self.least_ready, sum(w["state"] == "ready" for w in workers))
            self.looks += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


@pytest.fixture
def site(saola):
    return lambda *arguments, **options: Site(saola, *arguments, **options)


def test_workers_are_replaced_one_by_one_and_no_request_fails(site):
    it = site()
    with Load(it.server, post="/") as load, Watch(it) as watch:
        for version in ("two", "three"):
            it.write(version)
            code, out, err = it.reload("--rolling")
            assert code == 0, err
            wait_for(lambda: len(it.status()["workers"]) == 3, "the last old worker to end")
    load.check(least=20)
    assert watch.most == 4, "one more than at other times"
    assert watch.least_ready >= 3
    assert "generation 3 serves" in out and "worker by worker" in out
    assert it.versions() == {"three"}
    status = it.status()
    assert status["state"] == "serving" and status["last_reload"]["succeeded"]
    assert {w["generation"] for w in status["workers"]} == {3}


def test_both_generations_serve_meanwhile(site):
    it = site()
    it.write("two")
    (it.apps / "hold").touch()
    with Load(it.server, post="/") as load:
        command = it.start_reload("--rolling")
        wait_for(lambda: it.ready() == {1: 2, 2: 1}, "the first new worker in an old one's place")
        status = it.status()
        assert status["state"] == "reloading" and status["generation"] == 2
        assert all(w["leaving_because"] == "reload" for w in status["workers"] if w["generation"] == 1)
        seen = set()
        wait_for(lambda: seen.update(it.versions(10)) or seen == {"one", "two"}, "both versions")
        assert command.poll() is None
        (it.apps / "hold").unlink()
        out, err = command.communicate(timeout=2 * DEADLINE)
        assert command.returncode == 0, err
    load.check()
    assert it.versions() == {"two"}


def test_an_app_that_cannot_be_imported_changes_nothing(site):
    it = site()
    before = it.server.workers()
    (it.apps / "versioned.py").write_text("raise RuntimeError('half a deploy')\n")
    with Load(it.server, post="/") as load:
        code, _, err = it.reload("--rolling")
    assert code == 1
    assert "Traceback" in err and "half a deploy" in err and "generation 1 goes on" in err
    load.check()
    assert it.server.wait_workers(3) == before
    assert it.status()["state"] == "serving"


def test_a_later_worker_that_crashes_is_tried_again(site):
    it = site()
    it.write("two")
    (it.apps / "crash").touch()
    with Load(it.server, post="/") as load, Watch(it) as watch:
        code, _, err = it.reload("--rolling")
    assert code == 0, err
    load.check()
    assert "exited with code 9" in it.server.log() or "exit code 9" in it.server.log()
    assert watch.least_ready >= 3 and watch.most <= 4
    assert it.versions() == {"two"}


def test_a_running_request_is_waited_for(site):
    it = site(workers=1)
    it.write("two")
    with it.server.connect() as client:
        client.request(target="/gate")
        it.server.wait_gate("request")
        code, _, err = it.reload("--rolling")
        assert code == 0, err
        assert it.versions(5) == {"two"}
        it.server.open_gate("request")
        assert client.response().text == "one"
    wait_for(lambda: it.ready() == {2: 1}, "the old worker to end")


def test_a_route_and_a_listener_come_with_the_first_new_worker(site, tmp_path):
    it = site()
    it.write("two")
    (it.apps / "hold").touch()
    address = str(it.apps / "extra.sock")
    with it.server.config_path.open("a") as config:
        config.write(f'\n[[listen]]\naddress = "unix:{address}"\n'
                     '\n[[route]]\npath = "/moved"\nredirect = "https://www.example.com/"\n'
                     '\n[[route]]\npath = "/"\napp = "app"\n')
    with Load(it.server, post="/") as load:
        command = it.start_reload("--rolling")
        wait_for(lambda: it.ready() == {1: 2, 2: 1}, "the first new worker in an old one's place")
        assert it.server.curl("--unix-socket", address, "http://localhost/").stdout in (b"one", b"two")
        assert it.server.get("/moved").status in (301, 302, 307, 308)
        (it.apps / "hold").unlink()
        assert command.wait(2 * DEADLINE) == 0
        command.communicate()
    load.check()


@pytest.mark.parametrize("options", [[], ["--rolling"]])
def test_a_reload_half_way_takes_over(site, options):
    it = site()
    it.write("two")
    (it.apps / "hold").touch()
    with Load(it.server, post="/") as load:
        first = it.start_reload("--rolling")
        wait_for(lambda: it.ready() == {1: 2, 2: 1}, "the first new worker in an old one's place")
        it.write("three")
        second = it.start_reload(*options)
        it.server.wait_log("reload: generation 3 boots")
        (it.apps / "hold").unlink()
        out, err = second.communicate(timeout=2 * DEADLINE)
        assert second.returncode == 0, err
        first.communicate(timeout=2 * DEADLINE)
        assert first.returncode == 0
        wait_for(lambda: it.ready() == {3: 3}, "the newest generation alone")
    load.check()
    assert it.versions() == {"three"}


def test_a_bad_reload_half_way_does_not_stop_the_good_one(site):
    it = site()
    it.write("two")
    (it.apps / "hold").touch()
    with Load(it.server, post="/") as load:
        first = it.start_reload("--rolling")
        wait_for(lambda: it.ready() == {1: 2, 2: 1}, "the first new worker in an old one's place")
        good = it.server.config_path.read_text()
        it.server.config_path.write_text("[app]\ntarget = 7\n")
        assert it.reload()[0] == 1
        it.server.config_path.write_text(good)
        (it.apps / "hold").unlink()
        first.communicate(timeout=2 * DEADLINE)
        assert first.returncode == 0
    load.check()
    assert it.versions() == {"two"}


def test_the_edges_death_half_way(site):
    it = site()
    it.write("two")
    (it.apps / "hold").touch()
    command = it.start_reload("--rolling")
    wait_for(lambda: it.ready() == {1: 2, 2: 1}, "the first new worker in an old one's place")
    edge = it.server.edge()
    subprocess.run(["kill", "-9", str(edge)], check=True)
    it.server.wait_log("a new edge listens")
    assert it.server.get().status == 200
    (it.apps / "hold").unlink()
    out, err = command.communicate(timeout=2 * DEADLINE)
    assert command.returncode == 0, err
    assert it.versions() == {"two"}


def test_a_stop_half_way_is_graceful(site):
    it = site()
    it.write("two")
    (it.apps / "hold").touch()
    command = it.start_reload("--rolling")
    wait_for(lambda: it.ready() == {1: 2, 2: 1}, "the first new worker in an old one's place")
    with it.server.connect() as client:
        client.request(target="/gate")
        it.server.wait_gate("request")
        it.server.send_signal(signal.SIGTERM)
        out, err = command.communicate(timeout=DEADLINE)
        assert command.returncode == 1 and "the server stops" in err
        it.server.open_gate("request")
        assert client.response().status == 200
    assert it.server.wait_exit() == 0


def test_with_preload(site):
    it = site(workers=2, preload=True)
    it.write("two")
    with Load(it.server, post="/") as load:
        code, _, err = it.reload("--rolling")
        assert code == 0, err
    load.check()
    assert it.versions() == {"two"}
    wait_for(lambda: it.ready() == {2: 2}, "the old ones to end")
