"""Clients that leave: at each stage the work that nobody waits for ends, and the next one is served."""

import json

import pytest

from support import processes
from support.http_client import ConnectionBroken
from support.waiting import wait_for

JSON_LOG = {"access": "-", "access_format": "json"}


def logged(server, path):
    """The access log's record of the request for `path`, once it is there."""
    def record():
        for line in server.stdout().splitlines():
            if path in line:
                return json.loads(line)
    return wait_for(record, f"{path} in the access log")


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_during_the_handshake_and_the_head(saola, leave):
    server = saola()
    assert server.get().status == 200  # the worker's descriptors are there
    before = processes.descriptor_count(server.edge())
    for sent in (b"", b"\x16\x03\x01", b"GET / HT"):
        raw = server.connect(tls=False)
        raw.send(sent)
        getattr(raw, leave)()
    client = server.connect()
    client.send(b"GET / HTTP/1.1\r\nHost:")
    getattr(client, leave)()
    assert server.get().status == 200
    wait_for(lambda: processes.descriptor_count(server.edge()) <= before, "the connections to be closed")


@pytest.mark.parametrize("app", ["raw_wsgi:application", "raw_asgi:application"])
@pytest.mark.parametrize("leave", ["close", "reset"])
def test_within_an_upload(saola, app, leave):
    server = saola(app)
    client = server.connect()
    client.request("POST", "/sha256", [("Content-Length", "1000000")])
    client.send(b"x" * 500_000)
    getattr(client, leave)()
    assert server.exchange("POST", "/sha256", body=b"whole").json()["size"] == 5


@pytest.mark.parametrize("prefetch", [0, 8])
def test_while_waiting_for_a_worker_the_request_never_runs(saola, prefetch):
    server = saola(config={"app": {"prefetch": prefetch}, "log": JSON_LOG})
    with server.connect() as busy:
        busy.request(target="/gate?name=busy")
        server.wait_gate("busy")
        waiting = server.connect()
        waiting.request(target="/gate?name=unwanted")
        # A second request behind it, on a connection that stays, shows that both have arrived.
        with server.connect() as staying:
            staying.request(target="/pid")
            waiting.close()
            record = logged(server, "unwanted")
            assert record["status"] in (0, 499, None)
            server.open_gate("busy")
            assert busy.response().body == b"busy"
            assert staying.response().status == 200
    assert not (server.gates / "unwanted.started").exists()


def test_an_asgi_app_is_told_while_it_waits(saola):
    server = saola("raw_asgi:application")
    client = server.connect()
    client.request(target="/disconnect?name=before")
    server.wait_gate("before")
    client.close()
    server.wait_gate("before-gone")
    assert server.get().status == 200


def test_an_asgi_app_is_told_within_its_answer(saola):
    server = saola("raw_asgi:application")
    client = server.connect()
    client.request(target="/disconnect?name=within&when=head")
    server.wait_gate("within")
    client.close()
    server.wait_gate("within-gone")
    assert server.get().status == 200


def test_an_asgi_app_that_reads_the_body_is_told(saola):
    server = saola("raw_asgi:application")
    client = server.connect()
    client.request("POST", "/disconnect?name=body", [("Content-Length", "100")])
    client.send(b"part")
    server.wait_gate("body")
    client.reset()
    server.wait_gate("body-gone")
    assert server.get().status == 200


def test_a_wsgi_iterable_is_closed_when_its_reader_is_gone(saola):
    server = saola(config={"limits": {"response_buffer": "64KiB", "response_spool": 0}})
    client = server.connect(receive_buffer=8192)
    client.request(target="/closing?name=closed&count=100000")
    assert client.head().status == 200
    client.reset()
    server.wait_gate("closed")
    assert server.get().status == 200


@pytest.mark.parametrize("app", ["raw_wsgi:application", "raw_asgi:application"])
def test_while_the_app_works(saola, app):
    server = saola(app, config={"log": JSON_LOG})
    client = server.connect()
    client.request(target="/gate?name=working")
    server.wait_gate("working")
    client.close()
    server.open_gate("working")
    assert server.get().status == 200
    assert logged(server, "working")


@pytest.mark.parametrize("app", ["raw_wsgi:application", "raw_asgi:application"])
def test_within_a_download(saola, app):
    server = saola(app, config={"log": JSON_LOG})
    assert server.get().status == 200  # the worker's descriptors are there
    before = processes.descriptor_count(server.edge())
    client = server.connect(receive_buffer=8192)
    client.request(target="/download?size=50000000")
    assert client.head().status == 200
    client.reset()
    assert logged(server, "/download")
    assert server.get().status == 200
    wait_for(lambda: processes.descriptor_count(server.edge()) <= before, "the spool file to be closed")


def test_between_pipelined_requests(saola):
    server = saola()
    client = server.connect()
    for _ in range(20):
        client.request(target="/download?size=100000")
    client.close()
    assert server.get().status == 200


def test_a_client_that_ends_its_side_counts_as_gone(saola):
    """As with nginx: an end of input cannot be told from a client that has left."""
    server = saola(tls=False)
    with server.connect() as client:
        client.request(target="/stream?count=3&size=2", headers=[("Connection", "close")])
        client.finish_sending()
        with pytest.raises(ConnectionBroken):
            client.response()
            raise ConnectionBroken("it was quick enough to be answered")
    assert server.get().status == 200
