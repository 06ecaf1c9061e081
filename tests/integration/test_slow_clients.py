"""Slow clients do not hold a worker, within the stated buffers; beyond them they are pushed back."""

import json

import pytest

from support.http_client import ConnectionBroken
from support.waiting import wait_for


def test_a_slow_reader_does_not_hold_the_only_wsgi_worker(saola):
    server = saola(config={"limits": {"response_buffer": "64KiB", "response_spool": "64MiB"}})
    with server.connect(receive_buffer=8192) as slow:
        slow.request(target="/download?size=20000000&done=made")
        assert slow.head().status == 200
        server.wait_gate("made")  # the app has handed over everything; nobody has read it
        assert server.get("/pid").status == 200


def test_a_slow_reader_gets_everything_in_the_end(saola):
    server = saola(config={"limits": {"response_buffer": "64KiB", "response_spool": "64MiB"}})
    with server.connect(receive_buffer=8192) as slow:
        slow.request(target="/download?size=20000000&done=made")
        server.wait_gate("made")
        answer = slow.response()
        assert len(answer.body) == 20_000_000
        assert slow.exchange().status == 200


def test_without_spool_a_slow_reader_pushes_back(saola):
    server = saola(config={"limits": {"response_buffer": "64KiB", "response_spool": 0},
                           "app": {"queue_timeout": "1h"}})
    with server.connect(receive_buffer=8192) as slow:
        slow.request(target="/download?size=20000000&done=made")
        assert slow.head().status == 200
        with server.connect() as other:
            other.request(target="/pid")
            other.sock.settimeout(1)
            with pytest.raises(TimeoutError):  # the worker waits for the slow one
                other.response()
            assert not (server.gates / "made.started").exists()
            rest = slow.read_exactly(20_000_000)
            assert len(rest) == 20_000_000
            other.sock.settimeout(30)
            assert other.response().status == 200


def test_an_asgi_app_is_pushed_back_and_its_worker_serves_others(saola):
    server = saola("raw_asgi:application", config={"limits": {"response_buffer": "64KiB"}})
    with server.connect(receive_buffer=8192) as slow:
        slow.request(target="/download?size=100000000&progress=sent")
        assert slow.head().status == 200
        server.wait_gate("sent")
        progress = server.gates / "sent.started"
        last = None

        def stands_still():
            nonlocal last
            for _ in range(20):  # others are served all the while
                assert server.get("/pid").status == 200
            now = json.loads(progress.read_text())["sent"]
            still, last = now == last, now
            return still

        wait_for(stands_still, "the app to be pushed back", interval=0)
        assert last < 100_000_000


def test_a_slow_uploader_does_not_hold_the_only_wsgi_worker(saola):
    server = saola()
    with server.connect() as slow:
        slow.request("POST", "/sha256", [("Content-Length", "200000")])
        slow.send(b"x" * 150_000)
        for _ in range(10):
            assert server.get("/pid").status == 200
        slow.send(b"x" * 50_000)
        assert slow.response().json()["size"] == 200_000


def test_many_slow_heads_do_not_hold_anything(saola):
    server = saola()
    slow = [server.connect() for _ in range(50)]
    for client in slow:
        client.send(b"GET /pid HTTP/1.1\r\nHost: loc")
    assert server.get("/pid").status == 200
    for client in slow:
        client.send(b"alhost\r\n\r\n")
    for client in slow:
        assert client.response().status == 200
        client.close()


def test_an_asgi_app_reads_a_body_while_it_comes(saola):
    server = saola("raw_asgi:application")
    with server.connect() as client:
        client.request("POST", "/first_part?name=first", [("Content-Length", "10")])
        client.send(b"half.")
        assert server.wait_gate("first")["size"] == 5
        client.send(b"other")
        assert client.response().body == b"10"


def test_an_asgi_app_that_does_not_read_stops_the_upload(saola):
    """The edge keeps a bounded part of it; the client is made to wait."""
    server = saola("raw_asgi:application")
    with server.connect() as client:
        client.request("POST", "/gate?name=closed", [("Content-Length", str(1 << 30))])
        server.wait_gate("closed")
        client.sock.settimeout(2)
        sent = 0
        with pytest.raises((TimeoutError, ConnectionBroken)):
            while sent < 64 << 20:
                client.send(b"x" * 65536)
                sent += 65536
        assert sent < 32 << 20
