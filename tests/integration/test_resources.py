"""Out of descriptors, out of disk: what clients get, and that service returns with the resource.

Descriptors run out in the release build: the sanitizers need some of their own.
"""

import errno
import os
import re
import signal
import subprocess
import time

import pytest

from support import processes
from support.http_client import ConnectionBroken
from support.load import Load
from support.waiting import wait_for


def limit_descriptors(pid, soft):
    subprocess.run(["prlimit", "--pid", str(pid), f"--nofile={soft}:{soft}"], check=True)


@pytest.mark.root
def test_an_edge_without_descriptors_pauses_accepting_and_goes_on(saola, release):
    server = saola(program=release)
    edge = server.edge()
    with server.connect() as held:
        assert held.exchange().status == 200
        limit_descriptors(edge, processes.descriptor_count(edge) + 8)
        # More connections than fit; those that are not accepted wait in the backlog.
        clients = [server.connect(tls=False) for _ in range(40)]
        before = processes.cpu_seconds(edge), time.monotonic()
        for _ in range(50):
            assert held.exchange().status == 200
        used = processes.cpu_seconds(edge) - before[0]
        assert used <= 0.7 * (time.monotonic() - before[1]) + 0.5, "the edge spins"
        for client in clients:
            client.close()
        assert held.exchange().status == 200

        def accepts():
            try:
                return server.get().status == 200
            except (OSError, ConnectionBroken):
                return False

        wait_for(accepts, "accepting to go on")
    assert server.edge() == edge


@pytest.mark.root
def test_an_edge_without_descriptors_answers_a_request_that_needs_one(saola, release):
    """A body that has to be spooled: 503, and no harm to the connection's neighbours."""
    server = saola(program=release, config={"limits": {"body_buffer": "16KiB"}})
    with server.connect() as held, server.connect() as other:
        assert held.exchange().status == other.exchange().status == 200
        edge = server.edge()
        limit_descriptors(edge, processes.descriptor_count(edge))
        answer = held.exchange("POST", "/sha256", body=b"x" * 100_000)
        assert answer.status in (200, 503)  # 200: the reserve was enough
        assert other.exchange().status == 200


def test_a_worker_without_descriptors_still_answers(saola, release):
    server = saola(program=release)
    [worker] = server.wait_workers(1)
    subprocess.run(["prlimit", "--pid", str(worker), "--nofile=200:200"], check=True)
    assert int(server.get("/descriptors").body) > 50
    for _ in range(5):
        assert server.get("/pid").status == 200
    # A spooled body comes as a descriptor; it cannot be taken: that request fails, alone.
    answer = server.exchange("POST", "/sha256", body=b"x" * 200_000)
    assert answer.status in (200, 500, 502, 503)
    assert int(server.get("/descriptors?release").body) >= 0
    assert server.exchange("POST", "/sha256", body=b"x" * 200_000).status == 200


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=1777", "saola-test",
                              str(tmp_path)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("cannot mount a file system here")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@pytest.mark.root
def test_a_full_spool_is_503_for_uploads_and_the_rest_is_served(saola, small_disk):
    server = saola(config={"server": {"spool_dir": str(small_disk)}})
    with server.connect() as client:
        client.request("POST", "/sha256", body=b"x" * 4_000_000)
        assert client.response().status == 503
    assert server.get("/pid").status == 200
    assert server.exchange("POST", "/sha256", body=b"x" * 500_000).json()["size"] == 500_000


@pytest.mark.root
def test_a_full_spool_pushes_back_downloads_which_still_complete(saola, small_disk):
    server = saola(config={"server": {"spool_dir": str(small_disk)},
                           "limits": {"response_buffer": "64KiB"}})
    with server.connect(receive_buffer=8192) as slow:
        slow.request(target="/download?size=20000000")
        head = slow.head()
        received = 0

        def consume(piece):
            nonlocal received
            received += len(piece)

        slow.body(head, "GET", consume)
        assert received == 20_000_000
    assert server.get().status == 200


def test_spool_total_bounds_all_spooled_bodies_together(saola):
    server = saola(config={"limits": {"spool_total": "1MiB"}})
    assert server.exchange("POST", "/sha256", body=b"x" * 900_000).status == 200
    assert server.exchange("POST", "/sha256", body=b"x" * 2_000_000).status == 503
    assert server.exchange("POST", "/sha256", body=b"x" * 900_000).status == 200


@pytest.mark.root
def test_full_disk_for_logs_loses_lines_and_no_request(saola, small_disk):
    log = small_disk / "access.log"
    (small_disk / "filler").write_bytes(b"x" * (1 << 20))
    server = saola(config={"log": {"access": str(log), "error": str(small_disk / "error.log")}},
                   wait=False)

    def serves():
        try:
            return server.get().status == 200
        except (OSError, ConnectionBroken):
            return False

    wait_for(serves, "the server on a full disk", 60)
    with server.connect() as client:
        for _ in range(500):
            assert client.exchange().status == 200
    os.unlink(small_disk / "filler")
    wait_for(lambda: server.get("/after-the-flood").status == 404
             and "/after-the-flood" in log.read_text(), "lines to be written again")


@pytest.fixture
def full_disk(tmp_path):
    """A file system on which nothing more can be made; `unlink` of /filler/* makes room."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=8,mode=1777",
                              "saola-test", str(tmp_path)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("cannot mount a file system here")
    try:
        (tmp_path / "filler").write_bytes(b"x" * 65536)
        for name in range(8):
            (tmp_path / str(name)).touch()
    except OSError as error:
        assert error.errno == errno.ENOSPC
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def make_room(disk):
    for path in disk.iterdir():
        path.unlink()


@pytest.mark.root
def test_a_full_disk_costs_the_runtime_directory_only(saola, full_disk):
    server = saola(config={"server": {"runtime_dir": str(full_disk)}})
    assert re.search("no pid file: .*No space left on device", server.log())
    assert re.search("no control socket: .*No space left on device", server.log())
    with Load(server) as load:
        server.send_signal(signal.SIGHUP)
        server.wait_log("generation 2 serves")
    load.check()


@pytest.mark.root
def test_a_reload_that_needs_room_on_a_full_disk_is_refused(saola, full_disk):
    server = saola()
    good = server.config_path.read_text()
    for change in (("[log]", f'[log]\naccess = "{full_disk}/access.log"'),
                   ("[[listen]]", f'[[listen]]\naddress = "unix:{full_disk}/web.sock"\n[[listen]]')):
        seen = len(server.log())
        server.config_path.write_text(good.replace(*change))
        with Load(server) as load:
            server.send_signal(signal.SIGHUP)
            wait_for(lambda: "SIGHUP: not reloaded" in server.log()[seen:], "the refusal")
        load.check()
        assert re.search(rf"{full_disk}/.*No space left on device", server.log()[seen:])
    make_room(full_disk)
    server.send_signal(signal.SIGHUP)
    server.wait_log("reload: generation 4 serves")


@pytest.mark.root
def test_what_vanished_from_a_full_disk_comes_back_with_the_room(saola, full_disk):
    make_room(full_disk)
    server = saola(config={"server": {"runtime_dir": str(full_disk)}})
    pid_file, socket = full_disk / "saola.pid", full_disk / "saola.sock"
    assert pid_file.exists() and socket.exists()
    (full_disk / "filler").write_bytes(b"x" * (64 * 1024 - 4096))
    pid_file.rename(full_disk / "elsewhere")  # leaves no room, not for a moment
    server.wait_log(f"the pid file {pid_file} has gone and cannot be made anew: .*No space left")
    assert server.get().status == 200
    (full_disk / "filler").unlink()
    wait_for(lambda: pid_file.exists() and pid_file.read_text() == f"{server.pid}\n", "the pid file")
    assert server.log().count("cannot be made anew") == 1


def test_dev_full_as_access_log(saola):
    server = saola(config={"log": {"access": "/dev/full"}})
    with server.connect() as client:
        for _ in range(200):
            assert client.exchange().status == 200
