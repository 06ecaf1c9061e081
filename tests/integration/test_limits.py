"""Each limit and time-out answers with its status, and says so in the log."""

import json

import pytest

from support.http_client import ConnectionBroken
from support.server import APPS
from support.waiting import wait_for

# Small enough to reach quickly, large enough for a loaded machine to do the rest in time.
SHORT = "500ms"


def refused(client, status):
    """The answer has this status, names the request, and the connection ends after it."""
    answer = client.response()
    assert answer.status == status
    request_id = answer.get("x-request-id")
    assert request_id and request_id in answer.text
    assert answer.get("connection") == "close"
    assert client.is_closed()
    return answer


def test_a_long_request_line_is_414(saola):
    server = saola(config={"limits": {"request_line": 300}})
    assert server.get("/hello?" + "x" * 200).status == 200
    with server.connect() as client:
        client.request(target="/hello?" + "x" * 400)
        refused(client, 414)
    assert server.get().status == 200


@pytest.mark.parametrize("headers", [
    [(f"X-{n}", "v") for n in range(30)],
    [("X-Long", "v" * 2000)],
    [(f"X-{n}", "v" * 900) for n in range(8)],
], ids=["count", "one-field", "all-fields"])
def test_large_heads_are_431(saola, headers):
    server = saola(config={"limits": {"header_count": 20, "header_field": 1000,
                                      "header_bytes": 5000}})
    assert server.get(headers=[(f"X-{n}", "v" * 100) for n in range(15)]).status == 200
    with server.connect() as client:
        client.request(headers=headers)
        refused(client, 431)


@pytest.mark.parametrize("app", ["raw_wsgi:application", "raw_asgi:application"])
def test_a_large_body_is_413_before_it_is_sent(saola, app):
    server = saola(app, config={"limits": {"body": 1000}})
    assert server.exchange("POST", "/echo", body=b"x" * 1000).status == 200
    with server.connect() as client:
        client.request("POST", "/echo", [("Content-Length", "1001")])
        refused(client, 413)
    with server.connect() as client:
        client.request("POST", "/echo", [("Content-Length", "1001"), ("Expect", "100-continue")])
        refused(client, 413)


@pytest.mark.parametrize("app", ["raw_wsgi:application", "raw_asgi:application"])
def test_a_large_chunked_body_is_413(saola, app):
    server = saola(app, config={"limits": {"body": 1000}})
    with server.connect() as client:
        client.request("POST", "/echo", [("Transfer-Encoding", "chunked")],
                       b"1f4\r\n" + b"x" * 500 + b"\r\n1f5\r\n" + b"x" * 501 + b"\r\n")
        refused(client, 413)
    assert server.get().status == 200


def test_a_refused_upload_still_reads_its_answer(saola):
    """A client that is busy sending gets the 413, not a reset (lingering close)."""
    server = saola(config={"limits": {"body": 1000}})
    with server.connect() as client:
        client.request("POST", "/echo", [("Content-Length", str(8 << 20))])
        try:
            for _ in range(128):
                client.send(b"x" * 65536)
        except (BrokenPipeError, ConnectionResetError):
            pytest.fail("reset while the body was still being sent")
        assert client.response().status == 413


def test_max_body_of_a_route(saola):
    server = saola(config={"limits": {"body": 1000}, "route": [
        {"path": "/sha256", "max_body": 5000}, {"path": "/"}]})
    assert server.exchange("POST", "/sha256", body=b"x" * 5000).status == 200
    assert server.exchange("POST", "/sha256", body=b"x" * 5001).status == 413
    assert server.exchange("POST", "/echo", body=b"x" * 1001).status == 413


def test_a_slow_head_is_408(saola):
    server = saola(config={"limits": {"header_timeout": SHORT}})
    with server.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: local")
        refused(client, 408)


def test_a_trickled_head_is_408(saola):
    """Bytes that come in time one by one do not extend the time for the whole head."""
    server = saola(config={"limits": {"header_timeout": SHORT}})
    with server.connect() as client:
        client.sock.settimeout(0.05)
        client.send(b"GET / HTTP/1.1\r\n")

        def answered():
            try:
                client.send(b"X-A: b\r\n")
                return client._fill()
            except TimeoutError:
                return False

        wait_for(answered, "an answer to a head that never ends", interval=0)
        assert client.response().status == 408


def test_a_silent_connection_is_closed_without_an_answer(saola):
    server = saola(config={"limits": {"keepalive_timeout": SHORT, "header_timeout": SHORT}})
    with server.connect() as client:
        assert client.exchange().status == 200
        assert client.read_until_closed() == b""


def test_a_connection_that_never_sends_is_closed(saola):
    server = saola(config={"limits": {"keepalive_timeout": SHORT, "header_timeout": SHORT}})
    with server.connect() as client:
        data = client.read_until_closed()
        assert data == b"" or b" 408 " in data.split(b"\r\n")[0]


def test_a_handshake_that_never_comes_is_closed(saola):
    server = saola(config={"limits": {"handshake_timeout": SHORT}})
    with server.connect(tls=False) as client:
        assert client.read_until_closed() == b""


@pytest.mark.parametrize("app", ["raw_wsgi:application", "raw_asgi:application"])
def test_a_body_that_stops_is_408(saola, app):
    server = saola(app, config={"limits": {"body_timeout": SHORT}})
    with server.connect() as client:
        client.request("POST", "/echo", [("Content-Length", "100")])
        client.send(b"half")
        refused(client, 408)
    assert server.get().status == 200


def test_a_body_that_takes_too_long_in_total_is_408(saola):
    server = saola(config={"limits": {"body_total_timeout": "1s", "body_timeout": "30s"}})
    with server.connect() as client:
        client.sock.settimeout(0.05)
        client.request("POST", "/echo", [("Content-Length", "1000000")])

        def answered():
            try:
                client.send(b"x")
                return client._fill()
            except TimeoutError:
                return False

        wait_for(answered, "an answer to a trickled body", interval=0)
        assert client.response().status == 408


def test_more_waiting_requests_than_the_queue_holds_are_503(saola):
    server = saola(config={"app": {"queue_limit": 2, "prefetch": 0}})
    with server.connect() as busy, server.connect() as first, server.connect() as second:
        busy.request(target="/gate?name=busy")
        server.wait_gate("busy")
        first.request(target="/pid")
        second.request(target="/pid")
        # The two may still be on their way to the edge; a probe that is queued instead would block, so
        # it gives up its place by closing (queue_limit counts living requests only).
        answer = wait_for(lambda: _refusal(server), "a full queue")
        assert answer.status == 503 and int(answer.get("retry-after")) >= 1
        server.open_gate("busy")
        assert busy.response().body == b"busy"
        assert first.response().status == second.response().status == 200


def _refusal(server):
    with server.connect(deadline=0.3) as client:
        client.request(target="/pid")
        try:
            return client.response()
        except TimeoutError:
            return None


def test_a_request_that_waits_too_long_is_503(saola):
    server = saola(config={"app": {"queue_timeout": SHORT, "prefetch": 0}})
    with server.connect() as busy, server.connect() as waiting:
        busy.request(target="/gate?name=busy")
        server.wait_gate("busy")
        waiting.request(target="/pid")
        answer = waiting.response()
        assert answer.status == 503 and int(answer.get("retry-after")) >= 1
        assert answer.get("x-request-id") in answer.text
        server.open_gate("busy")
        assert busy.response().body == b"busy"
    assert server.get().status == 200


def test_a_prefetched_request_that_waits_too_long_is_503_and_never_runs(saola):
    """The worker has it already, but has not claimed it."""
    server = saola(config={"app": {"queue_timeout": SHORT, "prefetch": 4}})
    with server.connect() as busy, server.connect() as waiting:
        busy.request(target="/gate?name=busy")
        server.wait_gate("busy")
        waiting.request(target="/gate?name=late")
        assert waiting.response().status == 503
        server.open_gate("busy")
        assert busy.response().body == b"busy"
        assert waiting.exchange().status == 200
    assert not (server.gates / "late.started").exists()


def test_connections_beyond_the_limit_wait_for_a_place(saola):
    server = saola(config={"limits": {"connections": 3}}, tls=False)
    clients = [server.connect() for _ in range(3)]
    assert all(client.exchange().status == 200 for client in clients)
    with server.connect() as fourth:
        fourth.request()
        fourth.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            fourth.response()
        fourth.sock.settimeout(30)
        clients[0].close()
        assert fourth.response().status == 200
    for client in clients:
        client.close()


def test_a_reader_that_takes_nothing_is_dropped(saola):
    server = saola("raw_asgi:application", config={
        "limits": {"write_timeout": "1s", "response_buffer": "64KiB"}, "log": {"access": "-",
                                                                               "access_format": "json"}})
    with server.connect(receive_buffer=8192) as client:
        client.request(target="/download?size=50000000")
        record = wait_for(lambda: [line for line in server.stdout().splitlines()
                                   if "/download" in line], "the dropped request in the access log")
        assert json.loads(record[0])["status"] == 200
        with pytest.raises((ConnectionBroken, AssertionError, OSError)):
            client.response()


def test_limits_hold_within_drop_in_mode(saola):
    server = saola(listen=[{}], arguments=[
        "raw_wsgi:application", "--chdir", str(APPS),
        "-b", "{listen0}", "--limit-request-fields", "10", "--limit-request-line", "300",
        "--limit-request-field_size", "500"])
    assert server.get().status == 200
    assert server.get("/?" + "x" * 400).status == 414
    assert server.get(headers=[(f"X-{n}", "v") for n in range(12)]).status == 431
    assert server.get(headers=[("X-Long", "v" * 600)]).status == 431
