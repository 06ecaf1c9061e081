"""What befalls a server from outside, or from inside of a worker: the table in docs/reliability.md."""

import os
import re
import shutil
import signal
import subprocess
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from support import processes
from support.load import Load
from support.server import binary, completes
from support.waiting import DEADLINE, wait_for

HOURS = 3600


def replaced(server, pid, count=1):
    """Until `pid` has gone and `count` workers are there."""
    wait_for(lambda: pid not in server.workers() and len(server.workers()) == count,
             "the worker to be replaced", 2 * DEADLINE)


# -- stopped processes


def test_a_stopped_worker_costs_what_it_was_running(saola):
    server = saola(config={"app": {"workers": 2, "hang_timeout": "2s"}})
    with server.connect() as client:
        client.request("POST", "/gate?name=stuck", body=b"data")
        stuck = server.wait_gate("stuck")["pid"]
        os.kill(stuck, signal.SIGSTOP)
        with Load(server) as load:
            assert client.response().status == 502
            replaced(server, stuck, 2)
        load.check()
    assert "no sign of life" in server.log()


def test_a_reload_does_not_wait_for_a_stopped_worker(saola):
    server = saola(config={"server": {"graceful_timeout": "1s", "stream_drain_timeout": "1s"}})
    [stopped] = server.workers()
    os.kill(stopped, signal.SIGSTOP)
    server.send_signal(signal.SIGHUP)
    server.wait_log("generation 2 serves")
    assert server.get().status == 200
    replaced(server, stopped)


def test_a_stopped_edge_is_replaced(saola):
    server = saola(config={"server": {"edge_hang_timeout": "2s"}})
    edge, workers = server.edge(), server.workers()
    os.kill(edge, signal.SIGSTOP)
    # It waits in the listening socket until the next edge accepts.
    assert int(server.get("/pid").body) in workers
    assert server.edge() != edge and server.workers() == workers
    assert re.search(rf"edge \(pid {edge}\): no sign of life for 2.0 s", server.log())


def test_a_reload_that_meets_a_stopped_edge_is_refused(saola):
    server = saola(config={"server": {"edge_hang_timeout": "2s"}})
    edge = server.edge()
    os.kill(edge, signal.SIGSTOP)
    server.send_signal(signal.SIGHUP)
    server.wait_log("the reload failed, generation 1 goes on: the edge died meanwhile")
    assert server.get().status == 200
    server.send_signal(signal.SIGHUP)
    server.wait_log("generation 3 serves")


def test_a_stop_ends_stopped_processes_too(saola):
    server = saola(config={"app": {"workers": 2}, "server": {"graceful_timeout": "1s"}})
    for pid in (server.edge(), server.workers()[0]):
        os.kill(pid, signal.SIGSTOP)
    assert server.stop() == 0


# -- memory


HOSTILE = pytest.mark.parametrize("app", ["scribbles:wsgi", "scribbles:asgi"])


@HOSTILE
def test_a_worker_that_overwrites_its_shared_memory_costs_nobody_else(saola, app):
    server = saola(app, config={"app": {"workers": 2}})
    edge = server.edge()
    before = server.workers()
    with Load(server, threads=2) as load:
        scribbler, places = map(int, server.exchange("POST", "/scribble", body=b"").body.split())
        assert places >= 2, "the claim table and the record in the scoreboard"
        replaced(server, scribbler, 2)
        after = server.workers()
    load.check()
    assert server.edge() == edge
    assert len(set(before) & set(after)) == 1, "the other worker has lived on"
    assert "the claim table has been overwritten" in server.log()


@HOSTILE
def test_a_worker_that_sends_nonsense_costs_nobody_else(saola, app):
    server = saola(app, config={"app": {"workers": 2}})
    edge = server.edge()
    before = server.workers()
    with Load(server, threads=2) as load:
        # Its answer may be what the nonsense breaks.
        completes(lambda: server.exchange("POST", "/nonsense", body=b""))
        wait_for(lambda: set(before) - set(server.workers()), "the worker to end")
        wait_for(lambda: len(server.workers()) == 2, "its successor")
        after = server.workers()
    load.check()
    assert server.edge() == edge
    assert len(set(before) & set(after)) == 1, "the other worker has lived on"
    assert re.search("lost its connection to the edge|sent nonsense", server.log())


# -- time


@pytest.fixture(scope="session")
def clock_library(tmp_path_factory):
    library = tmp_path_factory.mktemp("clock") / "shifted_clock.so"
    source = Path(__file__).parent / "support" / "shifted_clock.c"
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-o", str(library),
                    str(source)], check=True)
    return library


class Clock:
    """The time of day of a server that was started with `environment`."""

    def __init__(self, library, directory):
        self.file = Path(directory) / "shift"
        self.jump(0)
        self.environment = {"LD_PRELOAD": str(library), "SHIFTED_CLOCK": str(self.file)}

    def jump(self, hours):
        # In place: it is mapped.
        with open(self.file, "r+b" if self.file.exists() else "w+b") as file:
            file.write((hours * HOURS).to_bytes(8, "little", signed=True))
        self.shift = timedelta(hours=hours)

    def is_seen_in(self, date):
        expected = datetime.now(timezone.utc) + self.shift
        return abs(parsedate_to_datetime(date) - expected) < timedelta(minutes=10)


@pytest.mark.parametrize("app", ["raw_wsgi:application", "raw_asgi:application"])
def test_a_clock_that_jumps_runs_out_nobodys_time(saola, clock_library, app):
    clock = Clock(clock_library, saola.directory())
    server = saola(app, env=clock.environment, config={
        "app": {"workers": 2, "hang_timeout": "20s"},
        "server": {"edge_hang_timeout": "20s"}})
    family = [server.edge(), *server.wait_workers(2)]
    with server.connect() as idle, server.connect() as busy:
        assert clock.is_seen_in(idle.exchange().get("date"))
        busy.request(target="/gate?name=long")
        server.wait_gate("long")
        for hours in (10, -10, 24 * 400):
            clock.jump(hours)
            wait_for(lambda: clock.is_seen_in(server.get().get("date")), "the Date field to follow")
            first = parsedate_to_datetime(server.get().get("date"))
            # The supervisor and the edge look at their clocks every second.
            wait_for(lambda: parsedate_to_datetime(server.get().get("date")) - first
                     >= timedelta(seconds=3), "three seconds")
            assert idle.exchange().status == 200, "not closed as one that was idle for hours"
        server.open_gate("long")
        assert busy.response().status == 200
    assert [server.edge(), *server.workers()] == family
    server.send_signal(signal.SIGHUP)
    server.wait_log("generation 2 serves")
    assert not re.search("no sign of life|timeout|time-out|in vain", server.log())


# -- files


def control(server, socket, *arguments):
    return subprocess.run([binary(), arguments[0], "--socket", str(socket), *arguments[1:]],
                          capture_output=True, text=True, timeout=2 * DEADLINE)


def test_a_runtime_directory_that_vanishes_comes_back(saola):
    directory = Path(saola.directory()) / "run"
    server = saola(config={"server": {"runtime_dir": str(directory)}})
    shutil.rmtree(directory)
    with Load(server) as load:
        server.send_signal(signal.SIGHUP)
        server.wait_log("generation 2 serves")
        wait_for((directory / "saola.sock").exists, "the control socket")
    load.check()
    assert (directory / "saola.pid").read_text() == f"{server.pid}\n"
    assert control(server, directory / "saola.sock", "status").returncode == 0
    for name in ("saola.pid", "saola.sock"):
        assert server.log().count(f"{directory / name} had gone; it is there again") == 1
    # It is ours as before: another server is refused, and it goes with this one.
    second = saola(config={"server": {"runtime_dir": str(directory)}}, wait=False)
    second.expected_exit = 1
    assert second.wait_exit() == 1 and f"already running: pid {server.pid}" in second.log()
    assert server.stop() == 0
    assert not list(directory.iterdir())


def test_a_runtime_directory_that_cannot_be_made_anew_costs_its_files_only(saola):
    directory = Path(saola.directory()) / "run"
    server = saola(config={"server": {"runtime_dir": str(directory)}})
    shutil.rmtree(directory)
    directory.write_text("in the way")
    server.wait_log("the control socket .* has gone; commands find no server")
    done = control(server, directory / "saola.sock", "status")
    assert done.returncode == 1 and done.stderr
    with Load(server) as load:
        server.send_signal(signal.SIGHUP)
        server.wait_log("generation 2 serves")
        server.note_processes()
        server.send_signal(signal.SIGUSR2)
        server.wait_log("from before the upgrade have ended")
    load.check()
    directory.unlink()
    # The new image has never had one there; the pid file is its as before.
    wait_for((directory / "saola.pid").exists, "the pid file")
    assert server.log().count("has gone; commands find no server") == 1
    assert server.stop() == 0


def test_a_unix_listener_whose_file_is_removed_is_made_anew_by_a_reload(saola):
    path = Path(saola.directory()) / "web.sock"
    server = saola(listen=[{"address": f"unix:{path}"}])
    assert server.get().status == 200
    with server.connect() as kept:
        assert kept.exchange().status == 200
        path.unlink()
        assert kept.exchange().status == 200
        server.send_signal(signal.SIGHUP)
        server.wait_log("generation 2 serves")
        assert kept.exchange().status == 200
    assert server.get().status == 200
    assert server.stop() == 0
    assert not path.exists()


# -- the supervisor's death


class Placed:
    """A server with all that it puts in the file system, whose next import the test may hold."""

    def __init__(self, saola, wait=True, held=False, **app):
        self.directory = Path(saola.directory())
        self.saola = saola
        self.app = app
        gates = self.directory / "gates"
        gates.mkdir()
        self.gates = gates
        if held:
            self.hold()
        self.server = self.start(wait)

    def start(self, wait=True):
        return self.saola(
            "boots:application", listen=[{"address": f"unix:{self.directory}/web.sock"}], wait=wait,
            env={"GATES": str(self.gates)},
            config={"app": {"workers": 2, **self.app},
                    "server": {"runtime_dir": str(self.directory / "run")}})

    def hold(self):
        (self.gates / "import-hangs.open").touch()

    def wait_held(self):
        wait_for((self.gates / "import.started").exists, "an import that hangs")

    def let_go(self):
        (self.gates / "import-hangs.open").unlink(missing_ok=True)

    def kill(self):
        children = self.server.note_processes()
        processes.kill(self.server.pid)
        self.server.expected_exit = -signal.SIGKILL
        assert self.server.wait_exit() == -signal.SIGKILL
        wait_for(lambda: not any(child.alive() for child in children), "the children to die")

    def starts_again(self):
        """On the same addresses, with what the dead one left behind."""
        self.let_go()
        again = self.start()
        assert again.get().status == 200
        assert control(again, self.directory / "run" / "saola.sock", "status").returncode == 0
        assert (self.directory / "run" / "saola.pid").read_text() == f"{again.pid}\n"
        assert again.stop() == 0
        assert not (self.directory / "web.sock").exists()


@pytest.mark.parametrize("preload", [False, True], ids=["exec", "preload"])
@pytest.mark.parametrize("stage", ["booting", "serving", "reloading", "upgrading", "draining"])
def test_kill_9_of_the_supervisor_leaves_nothing_at_any_stage(saola, stage, preload):
    it = Placed(saola, wait=stage != "booting", held=stage == "booting", preload=preload)
    server = it.server
    if stage == "booting":
        it.wait_held()
    elif stage == "reloading":
        it.hold()
        server.send_signal(signal.SIGHUP)
        it.wait_held()
    elif stage == "upgrading":
        it.hold()
        server.note_processes()
        server.send_signal(signal.SIGUSR2)
        it.wait_held()
    elif stage == "draining":
        client = server.connect()
        client.request(target="/gate")
        wait_for((it.gates / "request.started").exists, "the request")
        server.send_signal(signal.SIGTERM)
        server.wait_log("stopping gracefully")
    it.kill()
    if stage == "draining":
        client.close()
    it.starts_again()
