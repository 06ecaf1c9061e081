"""A worker's death costs at most what it was executing.

What the client gets when its worker is killed: 502 if the answer had not begun and cannot be tried
again, a broken transfer if it had; requests that had not started go to another worker.
"""

import pytest

from support import processes
from support.http_client import ConnectionBroken
from support.waiting import wait_for

BOTH = pytest.mark.parametrize("app", ["raw_wsgi:application", "raw_asgi:application"],
                               ids=["wsgi", "asgi"])


def wait_replaced(server, dead, count):
    """Until `count` workers other than the dead one run."""
    wait_for(lambda: dead not in server.workers() and len(server.workers()) == count,
             "the worker to be replaced")


@BOTH
def test_killed_while_idle(saola, app):
    server = saola(app)
    [worker] = server.wait_workers(1)
    with server.connect() as client:
        assert int(client.exchange(target="/pid").body) == worker
        processes.kill(worker)
        answer = client.exchange(target="/pid")  # the same connection, waiting for the next worker
        assert answer.status == 200 and int(answer.body) != worker


@BOTH
def test_a_post_that_had_started_is_502_and_not_tried_again(saola, app):
    server = saola(app, config={"app": {"workers": 2}})
    with server.connect() as client:
        client.request("POST", "/gate?name=claimed", body=b"data")
        started = server.wait_gate("claimed")
        processes.kill(started["pid"])
        answer = client.response()
        assert answer.status == 502 and answer.get("x-request-id") in answer.text
        assert client.exchange(target="/pid").status == 200
        wait_replaced(server, started["pid"], 2)
    # Nobody else ran it: the gate still shows the worker that died.
    assert server.wait_gate("claimed")["pid"] == started["pid"]


@BOTH
def test_a_get_that_had_started_is_tried_once_more_elsewhere(saola, app):
    server = saola(app, config={"app": {"workers": 2}, "limits": {"retries": 1}})
    with server.connect() as client:
        client.request(target="/gate?name=again")
        first = server.wait_gate("again")
        processes.kill(first["pid"])
        second = wait_for(
            lambda: (facts := server.wait_gate("again"))["pid"] != first["pid"] and facts,
            "the second try")
        processes.kill(second["pid"])
        assert client.response().status == 502  # once, not for ever


@BOTH
def test_without_retries_a_started_get_is_502(saola, app):
    server = saola(app, config={"limits": {"retries": 0}})
    with server.connect() as client:
        client.request(target="/gate?name=once")
        processes.kill(server.wait_gate("once")["pid"])
        assert client.response().status == 502
        assert client.exchange(target="/pid").status == 200


@pytest.mark.parametrize("prefetch", [0, 16])
def test_requests_behind_a_killed_worker_go_to_another(saola, prefetch):
    """Twenty POSTs wait, some sent to the worker ahead of time; the one that ran is lost, no other."""
    server = saola(config={"app": {"workers": 1, "prefetch": prefetch}, "limits": {"retries": 0}})
    clients = [server.connect() for _ in range(20)]
    with server.connect() as running:
        running.request("POST", "/gate?name=runs", body=b"")
        victim = server.wait_gate("runs")["pid"]
        for number, client in enumerate(clients):
            client.request("POST", "/echo", body=f"number {number}".encode())
        processes.kill(victim)
        assert running.response().status == 502
        for number, client in enumerate(clients):
            answer = client.response()
            assert (answer.status, answer.body) == (200, f"number {number}".encode())
            client.close()


@BOTH
def test_killed_within_a_request_body(saola, app):
    server = saola(app, config={"app": {"workers": 2}})
    with server.connect() as client:
        if "wsgi" in app:  # the body is still at the edge: any worker can run it
            client.request("POST", "/sha256", [("Content-Length", "100000")])
            client.send(b"x" * 50_000)
            processes.kill(server.wait_workers(2)[0])
            client.send(b"x" * 50_000)
            assert client.response().json()["size"] == 100_000
        else:
            client.request("POST", "/first_part?name=part", [("Content-Length", "100000")])
            client.send(b"x" * 50_000)
            processes.kill(server.wait_gate("part")["pid"])
            assert client.response().status == 502
        assert server.get().status == 200


@BOTH
def test_killed_within_an_answer_the_client_notices(saola, app):
    server = saola(app)
    with server.connect() as client:
        client.request(target="/stream?count=3&size=1000&gate=middle&at=2")
        assert client.head().status == 200
        processes.kill(server.wait_gate("middle")["pid"])
        with pytest.raises(ConnectionBroken):  # no last chunk
            client.read_exactly(100_000)
    assert server.get("/pid").status == 200


@BOTH
def test_killed_by_itself_within_a_promised_length(saola, app):
    server = saola(app)
    with server.connect() as client:
        client.request(target="/kill?when=body&gate=now")
        head = client.head()
        assert head.get("content-length") == "1000000"
        server.wait_gate("now")
        server.open_gate("now")
        with pytest.raises(ConnectionBroken):
            client.read_exactly(1_000_000)
    assert server.get("/pid").status == 200


def test_a_worker_that_kills_itself_each_time_does_not_stop_the_service(saola):
    server = saola(config={"app": {"workers": 2}})
    for _ in range(3):
        answer = server.exchange("POST", "/kill", body=b"")
        assert answer.status == 502
    assert server.get("/pid").status == 200


@BOTH
def test_python_that_never_returns_does_not_stop_the_other_worker(saola, app):
    server = saola(app, config={"app": {"workers": 2, "prefetch": 16}, "limits": {"retries": 0}})
    with server.connect() as stuck:
        stuck.request(target="/spin?name=stuck")
        spinning = server.wait_gate("stuck")["pid"]
        with server.connect() as client:
            for _ in range(50):
                assert int(client.exchange(target="/pid").body) != spinning
        processes.kill(spinning)


@BOTH
def test_no_request_is_lost_while_workers_are_killed_between_requests(saola, app):
    """Idempotent requests one after the other, a worker killed before each third one."""
    server = saola(app, config={"app": {"workers": 2}})
    with server.connect() as client:
        for number in range(9):
            if number % 3 == 0:
                processes.kill(server.wait_workers(2)[0])
            assert client.exchange(target="/pid").status == 200


def test_the_edge_dies_and_comes_back(saola):
    server = saola()
    server.wait_workers(1)
    edge = server.edge()
    processes.kill(edge)

    def serves():
        try:
            return server.get("/pid").status == 200
        except (OSError, ConnectionBroken):
            return False

    wait_for(serves, "the next edge")
    assert server.edge() != edge
