"""app.preload: the app is imported once, the workers are forked from there."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from support import processes
from support.load import Load
from support.waiting import wait_for

APP = "preloaded:application"


def preloading(saola, app=APP, *, gates=(), wait=True, server=None, **settings):
    """A server with preload = true; `gates` are open from the start."""
    wrapper = ["sh", "-c", "".join(f'touch "$GATES/{g}.open"; ' for g in gates) + 'exec "$0" "$@"']
    return saola(app, config={"app": {"workers": 3, "preload": True} | settings, "server": server or {}},
                 tls=False, wrapper=wrapper, wait=wait)


def zygotes(server):
    return server._titled("saola: zygote")


def noted(server, name):
    """Process ids in a file that the app writes."""
    path = server.gates / name
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def facts(server):
    return json.loads(server.get().body)


def of_each_worker(server):
    """What every worker says of itself, by pid."""
    seen = {}

    def all_seen():
        said = facts(server)
        seen.setdefault(said["pid"], said)
        return len(seen) == len(server.workers()) and seen

    return wait_for(all_seen, "an answer of each worker")


def kill(server, pid):
    server.note_processes()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not processes.find(pid), f"{pid} to be reaped")


@pytest.mark.parametrize("app", [APP, "preloaded:asgi"])
def test_the_app_is_imported_once_for_all_workers(saola, app):
    server = preloading(saola, app)
    [zygote] = zygotes(server)
    assert noted(server, "imports") == [zygote]
    said = of_each_worker(server)
    assert sorted(said) == sorted(server.workers())
    assert {facts["imported_by"] for facts in said.values()} == {zygote}
    assert len({facts["random"] for facts in said.values()}) == 3, "random states are shared"
    assert server.log().count("hello from the import") == 1
    server.stop()
    assert noted(server, "imports") == [zygote]
    assert sorted(noted(server, "exits")) == sorted(said), "atexit handlers are the workers'"


@pytest.mark.parametrize("user", ["", pytest.param("nobody", marks=pytest.mark.root)])
def test_workers_are_processes_like_others(saola, user):
    settings = {"user": user} if user else {}
    server = preloading(saola, process_name="shop", server=settings)
    plain = saola(config={"app": {"process_name": "shop"}, "server": settings}, tls=False)
    reference = plain.workers()[0]

    def status(pid, *names):
        text = Path(f"/proc/{pid}/status").read_text()
        return {name: re.search(rf"^{name}:[ \t]*(.*)", text, re.M)[1] for name in names}

    assert processes.title(zygotes(server)[0]) == "saola: zygote app, generation 1 [shop]"
    ids = []
    for pid in server.workers():
        [number] = re.fullmatch(r"saola: worker app (\d+) \[shop\]", processes.title(pid)).groups()
        ids.append(number)
        assert os.getpgid(pid) == pid
        assert status(pid, "PPid") == {"PPid": str(server.pid)}
        same = ("Name", "SigBlk", "SigIgn", "SigCgt", "NoNewPrivs", "CapEff", "Uid", "Gid",
                "Groups", "Threads")
        assert status(pid, *same) == status(reference, *same)
        score = "oom_score_adj"
        assert Path(f"/proc/{pid}/{score}").read_text() == Path(f"/proc/{reference}/{score}").read_text()

        def files(pid):
            return sorted(re.sub(r"\d+", "N", os.readlink(f"/proc/{pid}/fd/{fd}"))
                          for fd in os.listdir(f"/proc/{pid}/fd"))
        assert [re.sub(r"saola-\w+", "", f) for f in files(pid)] == \
               [re.sub(r"saola-\w+", "", f) for f in files(reference)]
    assert len(set(ids)) == 3


def test_asgi_lifespan_runs_in_each_worker(saola):
    server = preloading(saola, "preloaded:asgi")
    workers = server.workers()
    assert sorted(noted(server, "lifespan.startup")) == sorted(workers)
    server.stop()
    assert sorted(noted(server, "lifespan.shutdown")) == sorted(workers)


def test_the_app_writes_to_its_workers_log(saola):
    server = preloading(saola, workers=1)
    server.get("/print")
    server.wait_log(r"app app \d+\S* .*hello from a request")
    assert re.search(r"app app\S* .*hello from the import", server.log())


def test_a_dead_worker_is_forked_again(saola):
    server = preloading(saola)
    before = server.workers()
    kill(server, before[0])
    wait_for(lambda: len(server.workers()) == 3 and before[0] not in server.workers(), "a new worker")
    assert len(noted(server, "imports")) == 1
    said = of_each_worker(server)
    assert set(said) == set(server.workers())


def test_the_death_of_the_zygote_harms_nobody(saola):
    server = preloading(saola)
    before = server.workers()
    [first] = zygotes(server)
    with Load(server) as load:
        kill(server, first)
        wait_for(lambda: zygotes(server) not in ([], [first]), "a new zygote")
        wait_for(lambda: server.log().count("has imported the app") == 2, "the new zygote's import")
    load.check()
    assert server.workers() == before
    kill(server, before[0])
    wait_for(lambda: len(server.workers()) == 3 and before[0] not in server.workers(),
             "a worker of the new zygote")
    [second] = zygotes(server)
    assert noted(server, "imports") == [first, second]
    server.wait_log("all workers serve again")
    imported_by = {said["imported_by"] for said in of_each_worker(server).values()}
    assert imported_by == {first, second}


def test_a_worker_that_dies_without_a_zygote_waits_for_the_next(saola):
    server = preloading(saola)
    before = server.workers()
    (server.gates / "import-hangs.open").touch()
    kill(server, zygotes(server)[0])
    server.wait_gate("hanging")
    kill(server, before[0])
    assert facts(server)["pid"] in before[1:]
    server.open_gate("import")
    wait_for(lambda: len(server.workers()) == 3, "the worker")


def test_a_zygote_that_does_not_fork_is_replaced(saola):
    server = preloading(saola, boot_timeout="2s")
    before = server.workers()
    [first] = zygotes(server)
    os.kill(first, signal.SIGSTOP)
    kill(server, before[0])
    wait_for(lambda: len(server.workers()) == 3, "the worker")
    [second] = zygotes(server)
    assert second != first
    assert re.search(rf"zygote app \(pid {first}\): does not fork; killing it", server.log())
    assert set(before[1:]) < set(server.workers())


def test_hooks_run_in_each_worker_after_the_import(saola):
    server = preloading(saola, hooks="preloaded")
    workers = server.workers()
    assert noted(server, "imports") == zygotes(server)
    assert sorted(noted(server, "post_fork")) == sorted(workers)


def test_a_reload_imports_the_app_anew(saola):
    server = preloading(saola)
    before = server.workers()
    [first] = zygotes(server)
    with Load(server) as load:
        server.send_signal(signal.SIGHUP)
        server.wait_log("generation 2 serves")
        server.wait_log("generation 1 has ended")
    load.check()
    [second] = zygotes(server)
    assert noted(server, "imports") == [first, second]
    assert not set(before) & set(server.workers())
    assert {said["imported_by"] for said in of_each_worker(server).values()} == {second}


def test_preload_comes_and_goes_with_reloads(saola):
    server = saola(APP, config={"app": {"workers": 2}}, tls=False)
    text = server.config_path.read_text()
    for number, preload in ((2, True), (3, False)):
        server.config_path.write_text(text.replace("[app]\n", f"[app]\npreload = {str(preload).lower()}\n"))
        server.send_signal(signal.SIGHUP)
        server.wait_log(f"generation {number} serves")
        server.wait_log(f"generation {number - 1} has ended")
        assert len(zygotes(server)) == preload
        assert all((said["imported_by"] != pid) == preload for pid, said in of_each_worker(server).items())


def test_an_app_that_cannot_be_imported_fails_the_start(saola):
    server = preloading(saola, gates=["import-fails"], wait=False)
    server.expected_exit = 3
    assert server.wait_exit() == 3
    assert server.log().count("ImportError: the import gate says no") == 1
    assert len(noted(server, "imports")) == 1


def test_an_app_that_cannot_be_imported_any_more_leaves_the_old_one(saola):
    server = preloading(saola)
    before = server.workers()
    server.open_gate("import-fails")
    server.send_signal(signal.SIGHUP)
    server.wait_log("the reload failed, generation 1 goes on")
    assert server.log().count("ImportError: the import gate says no") == 1
    wait_for(lambda: len(zygotes(server)) == 1, "the new generation to go")
    assert server.workers() == before
    assert facts(server)["pid"] in before


def test_an_import_that_hangs_is_given_up(saola):
    server = preloading(saola, gates=["import-hangs"], wait=False, boot_timeout="1s")
    server.wait_log(r"zygote app \(pid \d+\): did not start within its boot_timeout")
    server.open_gate("import")
    server.wait_ready()
    assert facts(server)["imported_by"] == zygotes(server)[0]


def test_a_stop_ends_a_zygote_that_imports(saola):
    server = preloading(saola, gates=["import-hangs"], wait=False)
    server.wait_gate("hanging")
    assert server.stop() == 0
    assert "did not end in time" not in server.log()


def test_workers_are_recycled(saola):
    server = preloading(saola, workers=2, max_requests=20)
    first = server.workers()
    with Load(server) as load:
        wait_for(lambda: server.log().count("because of max_requests") >= 4, "four recyclings")
    load.check(least=80)
    assert not set(first) & set(server.wait_workers(2))
    assert len(noted(server, "imports")) == 1


def test_more_and_fewer_workers(saola):
    server = preloading(saola, workers=1)
    server.send_signal(signal.SIGTTIN)
    server.wait_workers(2)
    server.wait_log("all workers serve again")
    server.send_signal(signal.SIGTTOU)
    server.wait_workers(1)
    assert len(noted(server, "imports")) == 1


@pytest.mark.parametrize("user", ["", pytest.param("nobody", marks=pytest.mark.root)])
def test_nobody_is_left_when_the_supervisor_is_killed(saola, user):
    server = preloading(saola, server={"user": user} if user else {})
    server.note_processes()
    server.expected_exit = -signal.SIGKILL
    server.send_signal(signal.SIGKILL)
    server.wait_exit()  # the fixture looks for what is left


def test_a_thread_of_the_import_is_warned_of(saola):
    server = preloading(saola, gates=["import-starts-a-thread"])
    assert server.log().count("started the thread 'early bird'") == 1
    assert "native thread" not in server.log()
    for said in of_each_worker(server).values():
        assert "early bird" not in said["threads"]


def test_without_threads_there_is_no_warning(saola):
    server = preloading(saola)
    assert not re.search(r" warning zygote", server.log())


def test_a_request_outlives_the_zygote_and_its_generation(saola):
    server = preloading(saola, workers=1)
    with server.connect() as client:
        client.request("GET", "/wait")
        server.wait_gate("request")
        server.send_signal(signal.SIGHUP)
        server.wait_log("generation 2 serves")
        wait_for(lambda: len(zygotes(server)) == 1, "the first zygote to end")
        server.open_gate("request")
        assert client.response().status == 200
