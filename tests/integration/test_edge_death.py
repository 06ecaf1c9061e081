"""The edge dies: its connections are lost, the workers and their state are not."""

import pytest

from support import processes
from support.http_client import ConnectionBroken

BOTH = pytest.mark.parametrize("app", ["raw_wsgi:application", "raw_asgi:application"],
                               ids=["wsgi", "asgi"])


def kill_edge(server):
    edge = server.edge()
    processes.kill(edge)
    server.wait_log(rf"edge \(pid {edge}\) died")


@BOTH
def test_the_workers_serve_the_next_edge(saola, app):
    server = saola(app, config={"app": {"workers": 2}})
    workers = server.wait_workers(2)
    for _ in range(3):
        kill_edge(server)
        # Waits in the listening socket until the new edge accepts.
        assert int(server.get("/pid").body) in workers
        assert server.workers() == workers
    assert "connected to a new edge" in server.log()


@BOTH
def test_what_ran_goes_on_without_its_client(saola, app):
    server = saola(app)
    [worker] = server.wait_workers(1)
    with server.connect() as client:
        client.request("POST", "/gate?name=orphan", body=b"data")
        assert server.wait_gate("orphan")["pid"] == worker
        kill_edge(server)
        with pytest.raises((ConnectionBroken, OSError)):
            client.response()
    server.open_gate("orphan")
    assert int(server.get("/pid").body) == worker
