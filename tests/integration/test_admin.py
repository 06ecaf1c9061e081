"""The admin address: metrics, health, readiness, status, and who may ask."""

import base64
import gzip
import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from support import processes
from support.load import Load
from support.metrics import Admin, counters, parse, total
from support.waiting import DEADLINE, wait_for

ROOT = Path(__file__).resolve().parents[2]


def test_requests_are_counted_to_the_last_one(saola):
    server = saola(config={"app": {"workers": 2}}, admin=True)
    with Load(server) as load:
        wait_for(lambda: load.answered >= 300, "requests")
    load.check()
    admin = Admin(server)
    admin.wait_total(load.answered, "saola_http_requests_total", app="app", status="200")
    samples = admin.metrics()
    for histogram in ("request_duration", "time_to_first_byte", "queue_wait", "app_time"):
        assert total(samples, f"saola_http_{histogram}_seconds_count") == load.answered, histogram
    assert total(samples, "saola_worker_requests_total") == load.answered
    assert total(samples, "saola_connections_accepted_total") >= 2
    assert total(samples, "saola_tls_handshakes_total", version="TLSv1.3") >= 2
    assert total(samples, "saola_workers", state="ready") == 2
    assert total(samples, "saola_http_response_body_bytes_total") > load.answered


def test_promtool_finds_nothing_wrong(saola):
    server = saola(admin=True)
    assert server.get().status == 200
    checked = subprocess.run(["promtool", "check", "metrics"], input=Admin(server).text().encode(),
                             capture_output=True)
    assert checked.returncode == 0 and not checked.stderr, checked.stderr.decode()


def test_every_metric_is_documented_and_every_documented_one_exists(saola):
    server = saola(admin=True, config={"app": {"max_requests": 1000}})
    server.exchange("POST", "/echo", body=b"x")
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        raw.recv(1000)
    admin = Admin(server)
    wait_for(lambda: "saola_tls_handshake_failures_total" in admin.text(), "a failed handshake")
    families = set(re.findall(r"^# TYPE (\S+)", admin.text(), re.M))
    documented = set(re.findall(r"^\| `(saola_[a-z_]+)`", (ROOT / "docs/metrics.md").read_text(), re.M))
    assert families <= documented, families - documented
    # What needs something to go wrong, or cannot be read here.
    rare = {"saola_http_unsuccessful_requests_total", "saola_worker_exits_total",
            "saola_worker_proportional_memory_bytes"}
    assert documented - families <= rare, documented - families


def test_no_counter_goes_back_whatever_ends(saola):
    server = saola(config={"app": {"workers": 2, "max_requests": 50}}, admin=True)
    admin = Admin(server)
    seen = {}

    def look():
        text = admin.text()
        now = counters(parse(text), text)
        for key, before in seen.items():
            gone_with_its_worker = key[0].startswith("saola_worker_") and key not in now
            assert gone_with_its_worker or now[key] >= before, key
        seen.update(now)
        return True

    with Load(server) as load:
        wait_for(lambda: look() and server.log().count("because of max_requests") >= 3, "recycling",
                 3 * DEADLINE)
        for reload in range(2):
            server.send_signal(signal.SIGHUP)
            wait_for(lambda: look() and server.log().count("SIGHUP: reloaded") > reload, "a reload",
                     3 * DEADLINE)
    load.check()
    admin.wait_total(load.answered, "saola_http_requests_total", status="200")
    [worker, _] = server.wait_workers(2)
    processes.kill(worker)
    wait_for(lambda: look() and admin.total("saola_worker_exits_total", reason="killed") == 1,
             "the death to be counted")
    processes.kill(server.edge())
    wait_for(lambda: look() and admin.total("saola_edge_restarts_total") == 1, "a new edge")
    [pid] = server.admins()
    processes.kill(pid)
    server.wait_log("admin .*died.*a new one starts")
    wait_for(lambda: pid not in server.admins() and server.admins(),
             "a new admin process")
    assert look()
    assert admin.total("saola_reloads_total", result="success") == 2


def test_counting_goes_on_after_an_upgrade(saola):
    server = saola(admin=True)
    for _ in range(5):
        assert server.get().status == 200
    admin = Admin(server)
    admin.wait_total(5, "saola_http_requests_total")
    server.send_signal(signal.SIGUSR2)
    server.wait_log("processes from before the upgrade have ended")
    for _ in range(5):
        assert server.get().status == 200
    admin.wait_total(10, "saola_http_requests_total")
    assert admin.total("saola_upgrades_total", result="success") == 1


def test_health_and_metrics_answer_while_edge_and_workers_are_stopped(saola):
    server = saola(config={"app": {"hang_timeout": "0s"}}, admin=True)
    admin = Admin(server)
    stopped = [server.edge(), *server.workers()]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert admin.get("/healthz").status == 200
        assert "saola_workers" in admin.text()
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert server.get().status == 200


def test_readiness_fails_first_when_the_server_is_to_stop(saola):
    server = saola(config={"server": {"drain_delay": "60s"}}, admin=True)
    admin = Admin(server)
    ready = admin.get("/readyz")
    assert ready.status == 200 and b"app app: 1 of 1 workers ready" in ready.body
    assert admin.get("/readyz?app=app").status == 200
    assert admin.get("/readyz?app=none").status == 503
    server.send_signal(signal.SIGTERM)
    wait_for(lambda: admin.get("/readyz").status == 503, "not ready")
    assert admin.get("/healthz").status == 200
    assert server.get().status == 200, "requests are served until the delay has passed"
    server.send_signal(signal.SIGTERM)  # at once


def test_not_ready_while_an_app_has_no_worker(saola, tmp_path):
    app = tmp_path / "late.py"
    app.write_text("import pathlib, time\n"
                   "while not pathlib.Path(__file__ + '.open').exists(): time.sleep(0.01)\n"
                   "def application(environ, start_response):\n"
                   "    start_response('200 OK', [])\n"
                   "    return [b'late']\n")
    server = saola("late:application", config={"app": {"directory": str(tmp_path)}}, admin=True,
                   wait=False)
    admin = Admin(server)
    starting = admin.get("/readyz")
    assert starting.status == 503 and b"0 of " in starting.body, starting.body
    (tmp_path / "late.py.open").touch()
    server.wait_ready()
    assert admin.get("/readyz").status == 200
    (tmp_path / "late.py.open").unlink()
    processes.kill(server.workers()[0])
    wait_for(lambda: admin.get("/readyz").status == 503, "not ready")
    (tmp_path / "late.py.open").touch()
    wait_for(lambda: admin.get("/readyz").status == 200, "ready again")


def test_the_status_is_the_supervisors(saola):
    server = saola(config={"app": {"workers": 2}}, admin=True)
    answer = Admin(server).get("/status")
    assert answer.get("Content-Type") == "application/json"
    status = json.loads(answer.body)
    assert status["state"] == "serving" and len(status["workers"]) == 2
    assert sorted(w["pid"] for w in status["workers"]) == sorted(server.workers())


def test_a_supervisor_that_does_not_answer_costs_only_the_status(saola):
    server = saola(admin=True)
    admin = Admin(server)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        assert admin.get("/status").status == 503
        assert admin.get("/metrics").status == 200
    finally:
        os.kill(server.pid, signal.SIGCONT)
    wait_for(lambda: admin.get("/status").status == 200, "the status")


def basic(name, password):
    given = base64.b64encode(f"{name}:{password}".encode()).decode()
    return "Authorization", f"Basic {given}"


def test_what_may_be_asked_and_by_whom(saola, tmp_path):
    token = tmp_path / "token"
    token.write_text("open sesame\n")
    server = saola(admin=True, config={"admin": {"token_file": str(token), "hosts": ["metrics.test"]}})
    admin = Admin(server)
    bearer = [("Authorization", "Bearer open sesame")]
    assert admin.get("/metrics").status == 401
    assert admin.get("/status", [("Authorization", "Bearer wrong")]).status == 401
    assert admin.get("/metrics", [("Authorization", "Basic open sesame")]).status == 401
    assert admin.get("/metrics", bearer).status == 200
    for name in ("", "anybody"):
        for path in ("/", "/metrics", "/status"):
            assert admin.get(path, [basic(name, "open sesame")]).status == 200
    for wrong in ("open sesam", "open sesame ", ""):
        assert admin.get("/metrics", [basic("open sesame", wrong)]).status == 401
    asked = admin.get("/")
    assert asked.status == 401 and b"Requests" not in asked.body
    assert [value.split()[0] for value in asked.all("WWW-Authenticate")] == ["Bearer", "Basic"]
    assert admin.get("/healthz").status == 200 and admin.get("/readyz").status == 200
    assert admin.get("/nothing", bearer).status == 404
    for host, status in [("metrics.test", 200), ("metrics.test:9180", 200), ("localhost:1", 200),
                         ("[::1]:9180", 200), ("192.0.2.7", 200), ("evil.example", 421), ("", 421),
                         ("127.0.0.1.evil.example", 421)]:
        assert admin.get("/metrics", [("Host", host), *bearer]).status == status, host
    assert admin.get("/metrics", bearer, method="POST").status in (405, 501)
    assert admin.get("/metrics", [*bearer, ("X", "y" * 20_000)]).status in (400, 413, 431)
    head = admin.get("/healthz", method="HEAD")
    assert head.status == 200 and head.body == b""


def test_the_status_page_is_sealed(saola):
    page = Admin(saola(admin=True)).get("/")
    assert page.status == 200 and page.get("Content-Type") == "text/html; charset=utf-8"
    policy = page.get("Content-Security-Policy")
    assert policy.startswith("default-src 'none'; script-src 'sha256-"), policy
    assert "unsafe" not in policy and "connect-src 'self'" in policy


def test_a_scrape_is_compressed_if_asked(saola):
    admin = Admin(saola(admin=True))
    plain = admin.get("/metrics")
    packed = admin.get("/metrics", [("Accept-Encoding", "gzip;q=1.0, identity")])
    assert packed.get("Content-Encoding") == "gzip" and len(packed.body) < len(plain.body) / 3
    assert total(parse(gzip.decompress(packed.body).decode()), "saola_ready") == 1
    assert admin.get("/metrics", [("Accept-Encoding", "gzip;q=0")]).get("Content-Encoding") is None


def test_over_tls_and_the_certificate_can_be_replaced(saola, certs):
    pair = certs.ecdsa
    server = saola(admin=True, config={"admin": {"certificate": str(pair.certificate),
                                                 "key": str(pair.key)}})
    admin = Admin(server)
    assert admin.get("/healthz", tls=server.tls_context()).status == 200
    server.config_path.write_text(server.config_path.read_text()
                                  .replace(str(pair.certificate), str(certs.rsa.certificate))
                                  .replace(str(pair.key), str(certs.rsa.key)))
    [before] = server.admins()
    server.send_signal(signal.SIGHUP)
    server.wait_log("SIGHUP: reloaded")
    wait_for(lambda: server.admins() not in ([], [before])
             and before not in server.admins(), "another admin process")
    assert admin.get("/healthz", tls=server.tls_context()).status == 200


def test_a_reload_that_changes_nothing_for_it_keeps_the_process(saola):
    server = saola(admin=True)
    Admin(server)
    before = server.admins()
    server.send_signal(signal.SIGHUP)
    server.wait_log("SIGHUP: reloaded")
    assert server.admins() == before


@pytest.mark.parametrize("key, value, reason", [
    ("token_file", "/nothing/here", "No such file"),
    ("certificate", "/nothing/here", "needs 'certificate' and 'key' together"),
    ("latency_buckets", ["2s", "1s"], "must ascend"),
    ("listen", "127.0.0.1:99999", "must be"),
])
def test_what_is_wrong_is_said_at_the_start(saola, key, value, reason):
    server = saola(config={"admin": {key: value}}, wait=False,
                   env={} if key != "listen" else {"SAOLA_ADMIN_LISTEN": value})
    server.expected_exit = server.wait_exit()
    assert server.expected_exit in (1, 4)
    assert reason in server.log()


def test_an_address_in_use_is_an_error(saola):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        server = saola(env={"SAOLA_ADMIN_LISTEN": address}, wait=False)
        server.expected_exit = server.wait_exit()
        assert server.expected_exit == 1 and f"already in use: {address}" in server.log()


def test_without_the_default_address_the_server_serves_and_says_so(saola):
    default = "127.0.0.1", 9180
    try:
        taken = socket.create_server(default)
    except OSError:  # somebody else has it, which is as good
        taken = socket.socket()
    with taken:
        server = saola(env={"SAOLA_ADMIN_LISTEN": "127.0.0.1:9180"})
        assert server.get().status == 200
        assert re.search("warning .*no metrics and no health checks: .*set \\[admin\\] listen",
                         server.log())
        assert not server.admins()


def test_scrapers_that_do_not_read_cost_a_bounded_number_of_connections(saola):
    server = saola(admin=True)
    admin = Admin(server)
    idle = []
    try:
        for _ in range(300):
            scraper = socket.create_connection(admin.address)
            scraper.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            idle.append(scraper)
        [pid] = server.admins()
        wait_for(lambda: len(list(Path(f"/proc/{pid}/fd").iterdir())) > 100, "connections")
        assert len(list(Path(f"/proc/{pid}/fd").iterdir())) < 250
        assert server.get().status == 200
    finally:
        for scraper in idle:
            scraper.close()
    assert admin.get("/healthz").status == 200


def test_it_ends_with_the_supervisor(saola):
    server = saola(admin=True)
    Admin(server)
    server.note_processes()
    [pid] = server.admins()
    processes.kill(server.pid)
    server.expected_exit = server.wait_exit()
    wait_for(lambda: not processes.find(pid) or not processes.find(pid).alive(), "the end")
