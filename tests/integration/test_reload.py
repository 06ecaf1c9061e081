"""Reload: a new configuration and a new import of the app, and no request pays for it."""

import os
import re
import shutil
import signal
import socket
from pathlib import Path

import pytest

from support import processes
from support.http_client import Client
from support.load import Load
from support.server import APPS
from support.toml_text import to_toml
from support.waiting import wait_for

APP = """
import os
import re
VERSION = {version!r}

def application(environ, start_response):
    body = environ["wsgi.input"].read() if environ["REQUEST_METHOD"] == "POST" else VERSION.encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


class Site:
    """A server whose app and configuration the test writes."""

    def __init__(self, saola, **options):
        self.apps = Path(saola.directory())
        self.write("one")
        app = {"directory": str(self.apps), **options.pop("app", {})}
        config = {"app": app, **options.pop("config", {})}
        self.server = saola("versioned:application", config=config, **options)
        self.generation = 1

    def write(self, version):
        (self.apps / "versioned.py").write_text(APP.format(version=version))

    def configure(self, change):
        path = self.server.config_path
        path.write_text(change(path.read_text()))

    def reload(self):
        self.server.send_signal(signal.SIGHUP)
        self.generation += 1
        self.server.wait_log(f"generation {self.generation} is in place")

    def fail_to_reload(self):
        """The log from the attempt on."""
        seen = len(self.server.log())
        self.server.send_signal(signal.SIGHUP)
        wait_for(lambda: "SIGHUP: not reloaded" in self.server.log()[seen:], "the refusal")
        self.generation += 1  # the number is used up
        return self.server.log()[seen:]


@pytest.fixture
def site(saola):
    return lambda **options: Site(saola, **options)


def test_a_reload_imports_the_app_anew(site):
    it = site(app={"workers": 2})
    before = it.server.workers()
    assert it.server.get().text == "one"
    it.write("two")
    with it.server.connect() as kept:
        assert kept.exchange("GET", "/").text == "one"
        it.reload()
        assert kept.exchange("GET", "/").text == "two", "connections live on"
    assert {it.server.get().text for _ in range(4)} == {"two"}
    it.server.wait_log("generation 1 has ended")
    after = it.server.wait_workers(2)
    assert not set(before) & set(after)


def test_no_request_fails_during_reloads(site):
    it = site(app={"workers": 2})
    with Load(it.server, post="/") as load:
        for version in range(5):
            it.write(str(version))
            it.reload()
    load.check(least=20)
    assert it.server.get().text == "4"


def test_an_app_that_cannot_be_imported_leaves_the_old_one(site):
    it = site()
    (it.apps / "versioned.py").write_text("raise RuntimeError('no database')\n")
    with Load(it.server, post="/") as load:
        log = it.fail_to_reload()
    assert "RuntimeError: no database" in log and "Traceback" in log
    load.check()
    assert it.server.get().text == "one"
    it.write("two")
    it.reload()
    assert it.server.get().text == "two"


def test_every_problem_of_a_bad_configuration_is_told_and_nothing_changes(site):
    it = site()
    it.configure(lambda text: text.replace("[app]", "[app]\nworker = 3\nthreads = 0"))
    log = it.fail_to_reload()
    assert "unknown key 'worker' in [app]; did you mean 'workers'?" in log
    assert "'threads'" in log
    assert it.server.get().text == "one"


def test_what_needs_a_restart_is_refused(site):
    it = site()
    it.configure(lambda text: text.replace("[server]", '[server]\npid_file = "other.pid"'))
    assert "[server] pid_file cannot change while the server runs" in it.fail_to_reload()
    assert it.server.get().text == "one"


def test_a_startup_that_hangs_is_given_up(site):
    it = site()
    (it.apps / "versioned.py").write_text("import threading\nthreading.Event().wait()\n")
    it.configure(lambda text: text.replace("[app]", '[app]\nboot_timeout = "1s"'))
    assert "did not start within its boot_timeout" in it.fail_to_reload()
    assert it.server.get().text == "one"


def test_a_ready_path_decides(site):
    it = site()
    it.write("two")
    ready = """
    if environ["PATH_INFO"] == "/ready":
        start_response(STATUS, [("Content-Length", "0")])
        return [b""]
"""
    source = (it.apps / "versioned.py").read_text()
    head, body = source.split("def application(environ, start_response):\n")
    whole = head + "STATUS = '{}'\ndef application(environ, start_response):" + ready + body
    it.configure(lambda text: text.replace("[app]", '[app]\nready_path = "/ready"'))
    (it.apps / "versioned.py").write_text(whole.format("503 Not Yet"))
    assert "ready_path answered 503" in it.fail_to_reload()
    assert it.server.get().text == "one"
    (it.apps / "versioned.py").write_text(whole.format("204 No Content"))
    it.reload()
    assert it.server.get().text == "two"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def test_listeners_come_and_go(site):
    it = site()
    port = free_port()
    extra = '\n[[listen]]\naddress = "127.0.0.1:%d"\n' % port
    original = it.server.config_path.read_text()
    it.configure(lambda text: text + extra)
    with Load(it.server, post="/") as load:
        it.reload()
        with Client(("127.0.0.1", port)) as client:
            assert client.exchange("GET", "/").status == 200
            it.configure(lambda text: original)
            it.reload()
            assert client.exchange("GET", "/").status == 200, "open connections go on"
        with pytest.raises(ConnectionRefusedError):
            Client(("127.0.0.1", port))
    load.check()


def test_a_listener_whose_address_is_taken_changes_nothing(site):
    it = site()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        it.configure(lambda text: text + '\n[[listen]]\naddress = "127.0.0.1:%d"\n' % port)
        assert "address already in use" in it.fail_to_reload()
    assert it.server.get().text == "one"


def test_certificates_are_swapped_and_sessions_live_on(site, certs, tmp_path):
    pair = {"certificate": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}

    def install(kind):
        shutil.copy(kind.certificate, pair["certificate"])
        shutil.copy(kind.key, pair["key"])

    install(certs.ecdsa)
    it = site(listen=[{"tls": pair}])

    def serial():
        with socket.create_connection(it.server.addresses[0]) as raw:
            context = it.server.tls_context()
            with context.wrap_socket(raw, server_hostname="localhost") as tls:
                return tls.getpeercert()["serialNumber"]

    before = serial()
    install(certs.rsa)
    with Load(it.server, post="/") as load:
        it.reload()
    load.check()
    assert serial() != before

    shutil.copy(certs.ecdsa.key, pair["key"])
    assert "key" in it.fail_to_reload(), "a key that does not fit"
    assert serial() != before
    assert it.server.get().text == "one"


def test_limits_and_routes_follow(site):
    it = site()
    assert it.server.exchange("POST", "/", body=b"x" * 2000).status == 200
    it.configure(lambda text: text + '\n[limits]\nbody = "1KiB"\n[[route]]\npath = "/api/"\n')
    it.reload()
    assert it.server.exchange("POST", "/api/", body=b"x" * 2000).status == 413
    assert it.server.get("/other").status == 404
    assert it.server.get("/api/").status == 200


def test_logs_follow(site, tmp_path):
    it = site()
    access = tmp_path / "access.log"
    it.configure(lambda text: text.replace("[log]", f'[log]\naccess = "{access}"'))
    it.reload()
    it.server.get("/logged")
    wait_for(lambda: "/logged" in access.read_text(), "the access log")
    it.configure(lambda text: text.replace("[log]", '[log]\naccess_format = "json"'))
    it.reload()
    it.server.get("/as-json")
    wait_for(lambda: re.search(r'^{.*/as-json.*}$', access.read_text(), re.M), "a JSON line")


def test_a_request_that_runs_during_the_reload_is_finished_by_the_old_generation(saola):
    server = saola("raw_wsgi:application")
    with server.connect() as client:
        client.request("GET", "/gate?name=slow")
        server.wait_gate("slow")
        server.send_signal(signal.SIGHUP)
        server.wait_log("generation 2 is in place")
        assert server.get().status == 200
        assert "generation 1 has ended" not in server.log()
        server.open_gate("slow")
        assert client.response().text == "slow"
    server.wait_log("generation 1 has ended")


def test_apps_come_and_go(saola):
    def config(*names):
        return {"apps": {n: {"target": "raw_wsgi:application", "directory": str(APPS), "workers": 1}
                         for n in names},
                "route": [{"path": f"/{n}/", "app": n, "strip_prefix": True} for n in names]}

    server = saola(config=config("one", "two"))
    assert server.get("/two/hello").status == 200
    text = server.config_path.read_text()
    base = text[:text.index("[apps")] if "[apps" in text else text
    server.config_path.write_text(base + to_toml(config("one", "three")))
    server.send_signal(signal.SIGHUP)
    server.wait_log("generation 2 is in place")
    assert server.get("/two/hello").status == 404
    assert server.get("/one/hello").status == server.get("/three/hello").status == 200


def test_nothing_is_left_behind_by_many_reloads(site):
    it = site()
    supervisor, edge = it.server.pid, it.server.edge()

    def descriptors():
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in (supervisor, edge)]

    it.reload()
    it.server.wait_log("generation 1 has ended")
    before = descriptors()
    for _ in range(10):
        it.reload()
        it.server.wait_log(f"generation {it.generation - 1} has ended")
    wait_for(lambda: descriptors() == before, f"the descriptors to be {before}: {descriptors()}")
    assert len(processes.descendants(supervisor)) == 2


def test_asgi_lifespan_surrounds_each_generation(saola):
    server = saola("raw_asgi:application")
    assert server.get().status == 200
    with Load(server, get="/", post="/echo") as load:
        for generation in (2, 3, 4):
            server.send_signal(signal.SIGHUP)
            server.wait_log(f"generation {generation} is in place")
    load.check(least=10)
