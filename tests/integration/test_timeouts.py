"""Time-outs of requests (docs/timeouts.md): 504, the end of what runs, and what ignores it."""

import json
import re

import pytest

from support.http_client import ConnectionBroken
from support.server import APPS
from support.waiting import wait_for

# Long enough that nothing on a busy machine passes it, short against what the requests would take.
SHORT = "1s"


def config(**app):
    return {"app": {"request_timeout": 0, **app}, "log": {"access": "-", "access_format": "json"}}


def record(server, path):
    """The access log's record of the request for `path`, once it is there."""
    def find():
        for line in server.stdout().splitlines():
            if path in line:
                return json.loads(line)
    return wait_for(find, f"{path} in the access log")


# A blocking call is broken off in the main thread only (docs/timeouts.md).
@pytest.mark.parametrize("way, threads", [("sleep", 1), ("loop", 1), ("loop", 4)])
def test_a_wsgi_request_past_its_time_gets_504_and_the_next_one_is_served(saola, way, threads):
    server = saola("stuck_wsgi:application", config=config(request_max_time=SHORT, threads=threads))
    workers = server.wait_workers(1)
    answer = server.get(f"/{way}?name=stuck", [("X-Request-Id", "id-of-the-stuck")])
    assert answer.status == 504
    assert b"id-of-the-stuck" in answer.body
    assert server.wait_gate("stuck-ended")["by"] == "saola.RequestTimeout"
    assert server.get().body == b"served"
    assert server.workers() == workers
    assert record(server, "stuck")["outcome"] == "request_max_time"
    assert record(server, "stuck")["status"] == 504
    log = server.wait_log(r"request=id-of-the-stuck: GET /\w+: its time was up").string
    assert re.search(rf"edge\S* generation=1 request=id-of-the-stuck: request_max_time = 1s passed: GET /{way} in "
                     rf"worker \d+ \(pid {workers[0]}\); 504", log)
    assert "Traceback" not in log


def test_what_holds_the_interpreter_in_c_does_not_hold_up_the_504(saola):
    server = saola("stuck_wsgi:application", config=config(request_max_time=SHORT, timeout_grace="1h"))
    with server.connect() as client:
        answer = client.exchange(target="/c-loop?name=stuck")
        assert answer.status == 504
        # It runs on, or has just ended by itself or by the exception that waited for it.
        assert client.exchange().body == b"served"
    server.wait_gate("stuck-ended")


def test_request_timeout_counts_to_the_head(saola):
    server = saola("stuck_wsgi:application", config=config(request_timeout=SHORT))
    assert server.get("/sleep?name=stuck").status == 504
    assert record(server, "stuck")["outcome"] == "request_timeout"
    assert server.get().body == b"served"


def test_an_asgi_task_past_its_time_is_cancelled(saola):
    server = saola("stuck_asgi:application", config=config(request_timeout=SHORT))
    assert server.get("/sleep?name=stuck").status == 504
    assert server.wait_gate("stuck-ended")["by"] == "CancelledError"
    assert record(server, "stuck")["outcome"] == "request_timeout"
    assert server.get().body == b"served"
    assert server.wait_log("its time was up; the task of the ASGI application was cancelled")


def test_an_answer_that_stops_is_broken_off(saola):
    server = saola("stuck_asgi:application", config=config(request_timeout=SHORT))
    with server.connect() as client:
        client.request(target="/half?name=stuck")
        assert client.head().status == 200
        assert client.read_exactly(19) == b"e\r\nthe first half\r\n"
        with pytest.raises(ConnectionBroken):
            client.read_exactly(1)
    assert server.wait_gate("stuck-ended")["by"] == "CancelledError"
    assert record(server, "stuck")["outcome"] == "request_timeout"


def test_a_stream_lives_while_its_pieces_come(saola):
    """Three seconds of events under a request_timeout of one."""
    server = saola("stuck_asgi:application", config=config(request_timeout=SHORT))
    answer = server.get("/events?name=stream")
    assert answer.status == 200
    assert answer.body.endswith(b"data: end\n\n")
    assert record(server, "stream")["outcome"] == "ok"


def test_a_stream_lives_under_gunicorns_timeout(saola):
    server = saola(listen=[{}], arguments=[
        "stuck_asgi:application", "-b", "{listen0}", "--chdir", str(APPS), "--timeout", "1",
        "-k", "uvicorn.workers.UvicornWorker"])
    answer = server.get("/events?name=stream")
    assert answer.status == 200
    assert answer.body.endswith(b"data: end\n\n")


@pytest.mark.parametrize("flags, limited", [([], True), (["--threads", "2"], False)])
def test_gunicorns_timeout_is_a_requests_in_a_sync_worker(saola, flags, limited):
    server = saola(listen=[{}], arguments=[
        "stuck_wsgi:application", "-b", "{listen0}", "--chdir", str(APPS), "--timeout", "2", *flags])
    if limited:
        assert server.get("/sleep?name=stuck").status == 504
        assert server.wait_gate("stuck-ended")["by"] == "saola.RequestTimeout"
        return
    assert server.get("/c-loop?name=stuck").body == b"served"  # three seconds and more


@pytest.mark.parametrize("app", ["raw_wsgi:application", "raw_asgi:application"])
def test_a_slow_client_is_not_timed_out(saola, app):
    """The worker waits for the client's window: that is not the worker's time."""
    server = saola(app, config={"app": {"request_timeout": "500ms"},
                                "limits": {"response_buffer": "64KiB", "response_spool": 0}})
    with server.connect(receive_buffer=8192) as slow:
        slow.request(target="/download?size=20000000&done=made&progress=made")
        assert slow.head().status == 200
        with server.connect() as other:  # the edge's looks go on meanwhile, for two time-outs and more
            other.sock.settimeout(1.5)
            other.request(target="/pid")
            if app.startswith("raw_asgi"):
                assert other.response().status == 200
            with pytest.raises(TimeoutError):
                other.sock.recv(1)
            assert len(slow.read_exactly(20_000_000)) == 20_000_000


def test_a_route_overrides_the_app(saola):
    server = saola("stuck_wsgi:application", config={
        "app": {"request_timeout": "1h"},
        "route": [{"path": "/sleep", "request_timeout": SHORT}, {"path": "/"}]})
    assert server.get("/sleep?name=stuck").status == 504
    assert server.get().body == b"served"


@pytest.mark.parametrize("app", ["stuck_wsgi:application", "stuck_asgi:application"])
def test_what_ignores_its_time_out_is_reported(saola, app):
    server = saola(app, config=config(request_timeout=SHORT, timeout_grace="500ms"))
    assert server.get("/deaf?name=deaf", [("X-Request-Id", "id-of-the-deaf")]).status == 504
    heard = server.wait_gate("deaf-heard")["by"]
    assert heard in ("RequestTimeout", "http.disconnect")
    server.wait_log(r"error edge\S* generation=1 request=id-of-the-deaf: GET /deaf still runs in worker \d+ "
                    r"\(pid \d+\) after \d+\.\d s: it has ignored its time-out for timeout_grace")
    server.open_gate("deaf")
    assert server.get().body == b"served"


def test_what_a_slow_request_does_is_in_the_log_once(saola):
    server = saola("stuck_wsgi:application", config=config(request_max_time="2s", slow_request="300ms"))
    assert server.get("/loop?name=stuck", [("X-Request-Id", "id-of-the-slow")]).status == 504
    log = server.wait_log(r"warning worker\S* \S+ \d+\S* generation=1 request=id-of-the-slow: slow request\n"
                          r"  request id-of-the-slow: GET /loop, for \d+\.\d s after 0\.\d s in the queue, in thread 0x[0-9a-f]+\n"
                          r"(.*\n)*?  File \".*stuck_wsgi\.py\", line \d+ in loop").string
    assert server.get().body == b"served"
    assert log.count("slow request") == 1


@pytest.mark.parametrize("app, where", [("stuck_wsgi:application", r"stuck_wsgi\.py\", line \d+ in loop"),
                                        ("stuck_asgi:application", r"hread 0x")])
def test_what_a_request_did_at_its_time_out_is_one_record(saola, app, where):
    server = saola(app, config=config(request_max_time=SHORT))
    way = "loop" if "wsgi" in app else "sleep"
    assert server.get(f"/{way}?name=stuck", [("X-Request-Id", "id-of-the-late")]).status == 504
    server.wait_log(rf"warning worker app 1\[\d+\] generation=1 request=id-of-the-late: time-out\n"
                    rf"  request id-of-the-late: GET /{way}, for \d+\.\d s after 0\.\d s in the queue, "
                    rf"in thread 0x[0-9a-f]+\n(.*\n)*?.*{where}")
    assert server.get().body == b"served"


def test_the_stack_of_a_c_loop_is_seen_too(saola):
    server = saola("stuck_wsgi:application", config=config(slow_request="100ms"))
    assert server.get("/c-loop?name=stuck").body == b"served"
    server.wait_log(r"File \".*stuck_wsgi\.py\", line \d+ in c_loop")
