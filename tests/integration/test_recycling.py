"""Workers are replaced, more and fewer are wanted, and no request pays for it."""

import os
import re
import signal
from pathlib import Path

from support import processes
from support.load import Load
from support.waiting import wait_for


def test_no_request_fails_while_workers_are_recycled_by_count(saola):
    server = saola(config={"app": {"workers": 2, "max_requests": 20, "max_requests_jitter": 5}})
    first = set(server.workers())
    with Load(server) as load:
        wait_for(lambda: server.log().count("because of max_requests") >= 4, "four recyclings")
    load.check(least=80)
    assert not first & set(server.wait_workers(2))


def test_a_worker_that_grows_is_replaced(saola):
    server = saola("grows:application", config={"app": {"max_memory": "200MiB"}})
    [pid] = server.workers()
    with Load(server, post="/") as load:
        assert server.get("/grow?mib=250").status == 200
        wait_for(lambda: pid not in server.workers(), "the worker to be replaced", 60)
    load.check()
    assert re.search("is to be replaced: max_memory", server.log())


def test_workers_go_first_when_memory_runs_out(saola):
    server = saola()

    def score(pid):
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    assert score(server.workers()[0]) > score(server.edge()) >= score(server.pid)


def test_an_old_worker_is_replaced(saola):
    server = saola(config={"app": {"max_age": "1s"}})
    [pid] = server.workers()
    wait_for(lambda: pid not in server.workers(), "the worker to be replaced")
    assert server.get().status == 200


def test_more_and_fewer_workers_by_signal(saola):
    server = saola()
    with Load(server) as load:
        server.send_signal(signal.SIGTTIN)
        server.wait_workers(2)
        server.wait_log("all workers serve again")
        server.send_signal(signal.SIGTTOU)
        server.wait_workers(1)
        server.send_signal(signal.SIGTTOU)
    load.check()
    assert server.get().status == 200, "one stays"


def test_a_worker_without_a_sign_of_life_is_replaced(saola):
    server = saola(config={"app": {"hang_timeout": "1s"}})
    [pid] = server.workers()
    os.kill(pid, signal.SIGSTOP)
    server.known.update(p for p in [processes.find(pid)] if p)
    wait_for(lambda: pid not in server.workers(), "the worker to be replaced")
    assert server.get().status == 200
    assert "no sign of life" in server.log()


def test_an_asgi_loop_that_does_not_turn_costs_the_worker(saola):
    server = saola("raw_asgi:application", config={"app": {"hang_timeout": "1s"}})
    [pid] = server.workers()
    with server.connect() as client:
        client.request("GET", "/spin?name=spin")
        server.wait_gate("spin")
        wait_for(lambda: pid not in server.workers(), "the worker to be replaced")
    assert server.get().status == 200
