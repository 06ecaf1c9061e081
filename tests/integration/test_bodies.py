"""Large bodies: intact, with the memory of edge and workers flat."""

import hashlib
import os
import sys

import pytest

from support import processes
from support.server import APPS
from support.waiting import wait_for

sys.path.insert(0, str(APPS))
from patterns import digest, pieces  # noqa: E402

HUNDRED = 100 * 1024 * 1024
ALLOWED_GROWTH = 16 * 1024 * 1024

BOTH = pytest.mark.parametrize("app", ["raw_wsgi:application", "raw_asgi:application"],
                               ids=["wsgi", "asgi"])


def download(client, target):
    client.request(target=target)
    head, total, size = client.head(), hashlib.sha256(), 0

    def consume(piece):
        nonlocal size
        total.update(piece)
        size += len(piece)

    client.body(head, "GET", consume)
    assert head.status == 200
    return size, total.hexdigest(), head


class Memory:
    """Peak of PSS plus memory files of each process, against the state at the start."""

    def __init__(self, pids):
        self.start = {pid: self._now(pid) for pid in pids}
        self.peak = dict(self.start)

    @staticmethod
    def _now(pid):
        return processes.pss_bytes(pid) + processes.memory_file_bytes(pid)

    def sample(self):
        for pid in self.peak:
            self.peak[pid] = max(self.peak[pid], self._now(pid))

    def growth(self):
        return {processes.title(pid): self.peak[pid] - self.start[pid] for pid in self.peak}


@pytest.mark.memory
@BOTH
def test_100_mib_upload_is_intact_and_memory_is_flat(saola, release, app):
    server = saola(app, program=release)
    with server.connect() as client:
        client.exchange("POST", "/sha256", body=b"warm" * 100_000)
        memory = Memory([server.edge(), *server.workers()])
        client.request("POST", "/sha256", [("Content-Length", str(HUNDRED))])
        for index, piece in enumerate(pieces(HUNDRED)):
            client.send(piece)
            if index % 16 == 0:
                memory.sample()
        answer = client.response().json()
        memory.sample()
    assert answer["size"] == HUNDRED and answer["sha256"] == digest(HUNDRED)
    assert max(memory.growth().values()) < ALLOWED_GROWTH, memory.growth()


@pytest.mark.memory
@BOTH
@pytest.mark.parametrize("query", ["", "&chunked"], ids=["length", "chunked"])
def test_100_mib_download_is_intact_and_memory_is_flat(saola, release, app, query):
    server = saola(app, program=release)
    with server.connect() as client:
        download(client, f"/download?size=3000000{query}")
        memory = Memory([server.edge(), *server.workers()])
        client.request(target=f"/download?size={HUNDRED}{query}")
        head, total, count = client.head(), hashlib.sha256(), 0

        def consume(piece):
            nonlocal count
            total.update(piece)
            if count % 64 == 0:
                memory.sample()
            count += 1

        client.body(head, "GET", consume)
        assert (head.get("content-length") is None) == bool(query)
    assert total.hexdigest() == digest(HUNDRED)
    assert max(memory.growth().values()) < ALLOWED_GROWTH, memory.growth()


@pytest.mark.memory
def test_memory_is_flat_while_a_slow_reader_leaves_100_mib_waiting(saola, release):
    """The spool takes it, not memory."""
    server = saola(program=release)
    with server.connect(receive_buffer=16384) as client:
        client.exchange()
        memory = Memory([server.edge(), *server.workers()])
        client.request(target=f"/download?size={HUNDRED}&done=made")
        assert client.head().status == 200
        server.wait_gate("made")
        memory.sample()
    assert max(memory.growth().values()) < ALLOWED_GROWTH, memory.growth()


@BOTH
@pytest.mark.parametrize("size", [0, 1, 32_767, 32_768, 65_536, 65_537, 1_000_003])
def test_uploads_of_awkward_sizes(saola, app, size):
    server = saola(app)
    body = b"".join(pieces(size))
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in
                       (body[i:i + 9973] for i in range(0, size, 9973))) + b"0\r\n\r\n"
    with server.connect() as client:
        for headers, sent in (((), body), ((("Transfer-Encoding", "chunked"),), chunked)):
            answer = client.exchange("POST", "/sha256?piece=4097", headers, sent).json()
            assert answer["size"] == size and answer["sha256"] == digest(size)


@BOTH
@pytest.mark.parametrize("size", [0, 1, 32_768, 65_537, 5_000_003])
@pytest.mark.parametrize("query", ["", "&chunked"], ids=["length", "chunked"])
def test_downloads_of_awkward_sizes(saola, app, size, query):
    server = saola(app)
    with server.connect() as client:
        for _ in range(2):
            assert download(client, f"/download?size={size}{query}")[:2] == (size, digest(size))


def test_many_uploads_and_downloads_at_once(saola):
    server = saola("raw_asgi:application", config={"app": {"workers": 2}})
    size = 700_001
    clients = [server.connect() for _ in range(20)]
    try:
        for number, client in enumerate(clients):
            if number % 2:
                client.request(target=f"/download?size={size}")
            else:
                client.request("POST", "/sha256", body=b"".join(pieces(size)))
        for number, client in enumerate(clients):
            if number % 2:
                answer = client.response()
                assert hashlib.sha256(answer.body).hexdigest() == digest(size)
            else:
                assert client.response().json()["sha256"] == digest(size)
    finally:
        for client in clients:
            client.close()


def test_mirror_streams_both_ways_at_once(saola):
    """An ASGI app answers while the request's body still comes."""
    server = saola("raw_asgi:application")
    with server.connect() as client:
        client.request("POST", "/mirror", [("Transfer-Encoding", "chunked")])
        client.send(b"3\r\none\r\n")
        head = client.head()
        assert head.status == 200
        assert client.read_exactly(8) == b"3\r\none\r\n"
        client.send(b"3\r\ntwo\r\n0\r\n\r\n")
        assert client.read_exactly(13) == b"3\r\ntwo\r\n0\r\n\r\n"


def test_a_spooled_body_leaves_no_name_on_disk(saola):
    server = saola()
    with server.connect() as client:
        client.request("POST", "/sha256", [("Content-Length", "1000000")])
        client.send(b"x" * 999_999)
        held = wait_for(lambda: _spool_descriptors(server), "a spool file in the edge")
        assert all(path.endswith("(deleted)") for path in held)
        assert list(server.spool.iterdir()) == []
        client.send(b"x")
        assert client.response().json()["size"] == 1_000_000
        wait_for(lambda: not _spool_descriptors(server), "the spool file to be closed")


def _spool_descriptors(server):
    folder = f"/proc/{server.edge()}/fd"
    paths = []
    for entry in os.listdir(folder):
        try:
            path = os.readlink(f"{folder}/{entry}")
        except OSError:
            continue
        if path.startswith(str(server.spool)):
            paths.append(path)
    return paths
