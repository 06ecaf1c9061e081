"""Logs to syslog and journald, and destinations that are full, slow or away: no request waits."""

import fcntl
import json
import os
import re
import signal
import socket

import pytest

from support import processes
from support.server import APPS
from support.waiting import DEADLINE, wait_for

# RFC 5424: priority, version, time, host, name, process, message id, no structured data, message.
RFC5424 = re.compile(r"<(\d+)>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (\S+) (\S+) (\d+) (\S+) - (.*)",
                     re.DOTALL)


class Datagrams:
    """A syslog server, or journald, at a path."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)
        self.socket.settimeout(DEADLINE)
        self.seen = []

    def wait(self, matches, what):
        """The first message, also of those seen, that `matches`."""
        for message in self.seen:
            if matches(message):
                return message
        while True:
            try:
                message = self.receive()
            except TimeoutError:
                raise AssertionError(f"{what}: not among {self.seen}") from None
            if matches(message):
                return message

    def receive(self):
        data, control, _, _ = self.socket.recvmsg(1 << 20, socket.CMSG_SPACE(4))
        if control:  # journald: what does not fit in a datagram
            fd = int.from_bytes(control[0][2][:4], "little")
            with os.fdopen(fd, "rb") as file:
                file.seek(0)
                data = file.read()
        self.seen.append(data)
        return data

    def close(self):
        self.socket.close()
        os.unlink(self.path)


@pytest.fixture
def datagrams(tmp_path_factory):
    made = []
    directory = tmp_path_factory.mktemp("d")
    os.chmod(directory, 0o755)

    def at(name="log"):
        made.append(Datagrams(directory / name))
        return made[-1]

    yield at
    for one in made:
        one.socket.close()


def parsed(data):
    return RFC5424.fullmatch(data.decode()).groups()


def test_both_logs_go_to_syslog_beside_their_files(saola, datagrams):
    syslog = datagrams()
    server = saola(config={"log": {"syslog": f"unix:{syslog.path}", "access": "-",
                                   "syslog_facility": "local3", "syslog_tag": "site.{log}"}})
    answer = server.get("/fail", [("X-Request-ID", "the-one")])
    assert answer.status == 500
    access = parsed(syslog.wait(lambda m: b" access - " in m, "an access line"))
    assert access[0] == str(19 * 8 + 6)
    assert access[2] == "site.access" and access[3] == str(server.edge())
    assert access[4] == "access" and '"GET /fail HTTP/1.1" 500' in access[5]
    error = parsed(syslog.wait(lambda m: b"raised before the head" in m, "the traceback"))
    assert error[0] == str(19 * 8 + 3)
    assert error[2] == "site.error" and error[3] == str(server.workers()[0])
    assert re.match(r"app app 1\[\d+\] generation=1 request=the-one: .*\n.*Traceback", error[5])
    assert 'GET /fail' in server.stdout()
    server.wait_log("raised before the head")
    syslog.wait(lambda m: b" supervisor[" in m, "what the supervisor says")


def test_one_log_alone(saola, datagrams):
    syslog = datagrams()
    server = saola(config={"log": {"syslog": f"unix:{syslog.path}", "syslog_logs": ["access"]}})
    server.get("/hello?marked")
    syslog.wait(lambda m: b"/hello?marked" in m, "the access line")
    assert not [m for m in syslog.seen if b" error - " in m]
    assert "marked" not in server.stdout()


@pytest.mark.parametrize("framing", ["udp", "tcp"])
def test_syslog_over_the_network(saola, framing):
    kind = socket.SOCK_DGRAM if framing == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(DEADLINE)
        if framing == "tcp":
            receiver.listen(8)
        server = saola(config={"log": {
            "syslog": f"{framing}:localhost:{receiver.getsockname()[1]}", "syslog_logs": ["access"]}})
        server.get("/hello?first")
        if framing == "udp":
            assert "/hello?first" in parsed(receiver.recv(65536))[5]
            return
        connection, _ = receiver.accept()  # the edge's
        with connection:
            connection.settimeout(DEADLINE)
            head = b""
            while not head.endswith(b" "):
                head += connection.recv(1)
            message = b""
            while len(message) < int(head):
                message += connection.recv(int(head) - len(message))
            assert "/hello?first" in parsed(message)[5]


def test_a_syslog_that_is_away_costs_lines_and_no_request(saola, datagrams):
    syslog = datagrams()
    syslog.close()
    server = saola(config={"log": {"syslog": f"unix:{syslog.path}", "access": "access.log"}})
    long = "x" * 4000
    with server.connect() as client:
        for number in range(2500):  # 10 MB of lines against 4 MB that may wait
            assert client.exchange(target=f"/hello?{number}-{long}").status == 200
    file = server.directory / "access.log"
    wait_for(lambda: file.read_bytes().count(b"\n") == 2500, "every line in the file")
    again = datagrams()
    got = again.wait(lambda m: b" lines dropped: " in m, "the number of lines that are missing")
    dropped = int(re.search(rb"(\d+) lines dropped", got)[1])
    lines = [m for m in again.seen if b" access - " in m and b"/hello?" in m]
    assert dropped > 0 and len(lines) + dropped == 2500


def test_a_syslog_server_that_was_restarted_is_found_again(saola, datagrams):
    syslog = datagrams()
    server = saola(config={"log": {"syslog": f"unix:{syslog.path}", "syslog_logs": ["access"]}})
    server.get("/hello?first")
    syslog.wait(lambda m: b"?first" in m, "the first line")
    syslog.close()
    again = datagrams()
    server.get("/hello?second")
    again.wait(lambda m: b"?second" in m, "the second line")


def fields(data):
    """journald's native protocol: NAME=value, or NAME, a length and the value."""
    found, rest = {}, data
    while rest:
        line, rest = rest.split(b"\n", 1)
        name, equals, value = line.partition(b"=")
        if not equals:
            length = int.from_bytes(rest[:8], "little")
            value, rest = rest[8:8 + length], rest[8 + length + 1:]
        found[name.decode()] = value.decode()
    return found


def test_both_logs_go_to_journald(saola, datagrams):
    journal = datagrams()
    server = saola(config={"log": {"journald": journal.path}})
    server.get("/fail", [("X-Request-ID", "the-one")])
    error = fields(journal.wait(lambda m: b"raised before the head" in m, "the traceback"))
    assert error["PRIORITY"] == "3" and error["SYSLOG_IDENTIFIER"] == "saola"
    assert error["SAOLA_LOG"] == "error" and error["SAOLA_COMPONENT"] == "app app 1"
    assert error["SAOLA_REQUEST_ID"] == "the-one" and error["SAOLA_GENERATION"] == "1"
    assert error["SYSLOG_PID"] == str(server.workers()[0])
    assert "\nTraceback" in error["MESSAGE"] and error["MESSAGE"].endswith("before the head")
    access = fields(journal.wait(lambda m: b"SAOLA_LOG=access" in m, "the access line"))
    assert access["PRIORITY"] == "6" and '"GET /fail HTTP/1.1" 500' in access["MESSAGE"]


def test_journald_alone(saola, datagrams):
    journal = datagrams()
    server = saola(config={"log": {"journald": journal.path, "error": ""},
                           "limits": {"request_line": "64KiB"}}, wait=False)
    journal.wait(lambda m: b"ready after" in m, "the server to serve")
    assert server.get("/flood?size=60000&end").status == 200
    long = fields(journal.wait(lambda m: b"xxxxx" in m, "the long line"))
    assert long["MESSAGE"] == "x" * 60000
    assert server.log() == ""  # `error` is empty: standard error has nothing


def test_gunicorns_flags(saola, datagrams):
    syslog = datagrams()
    server = saola(listen=[{}], arguments=[
        "raw_wsgi:application", "-b", "{listen0}", "--chdir", str(APPS), "--log-syslog",
        "--log-syslog-to", f"unix://{syslog.path}#dgram", "--log-syslog-prefix", "web",
        "--log-syslog-facility", "LOCAL1"])
    server.get("/hello?marked")
    access = parsed(syslog.wait(lambda m: b"/hello?marked" in m, "the access line"))
    assert access[0] == str(17 * 8 + 6) and access[2] == "gunicorn.web.access"
    error = parsed(syslog.wait(lambda m: b"ready after" in m, "the error log"))
    assert error[2] == "gunicorn.web.error"
    server.wait_log("ready after")  # gunicorn's syslog is beside the error log's file, too


def test_gunicorns_access_log_can_stay_out_of_syslog(saola, datagrams):
    syslog = datagrams()
    server = saola(listen=[{}], arguments=[
        "raw_wsgi:application", "-b", "{listen0}", "--chdir", str(APPS), "--log-syslog",
        "--log-syslog-to", f"unix://{syslog.path}", "--disable-redirect-access-to-syslog"])
    server.get("/fail?marked")
    error = parsed(syslog.wait(lambda m: b"raised before the head" in m, "the traceback"))
    assert error[2] == "gunicorn.raw_wsgi.application.error"
    assert not [m for m in syslog.seen if b" access - " in m]


def test_a_full_disk_costs_lines_and_no_request(saola):
    """/dev/full answers every write as a full disk does. SIGUSR1 leads to a file with room."""
    server = saola(config={"log": {"access": "access.log"}}, wait=False)
    # Before the server opens it, or it is opened again below anyhow.
    wait_for(lambda: re.search(r"ready after", server.log()), "the server to serve")
    log = server.directory / "access.log"
    log.unlink()
    log.symlink_to("/dev/full")
    reopen(server, 1)
    long = "x" * 4000
    with server.connect() as client:
        for number in range(2500):
            assert client.exchange(target=f"/hello?{number}-{long}").status == 200
    log.unlink()
    reopen(server, 2)
    text = wait_for(lambda: log.exists() and " lines dropped: " in (t := log.read_text()) and t,
                    "the number of lines that are missing")
    dropped = int(re.search(r"(\d+) lines dropped", text)[1])
    assert dropped > 0 and text.count("/hello?") + dropped == 2500


def reopen(server, count):
    server.send_signal(signal.SIGUSR1)
    wait_for(lambda: server.log().count("logs reopened") == count, "the logs to be reopened")


def full_fifo(directory):
    """A pipe that nobody reads and that has no room left; its two ends."""
    path = directory / "errors"
    os.mkfifo(path, 0o666)
    os.chmod(path, 0o666)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    return reader, writer


def fill(writer):
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writer, b"f" * 512)


def test_a_full_error_log_does_not_hold_up_the_supervisor(saola, tmp_path):
    """It must go on looking after its workers while nobody reads its log."""
    reader, writer = full_fifo(tmp_path)
    try:
        server = saola(config={"log": {"error": str(tmp_path / "errors")}}, wait=False)
        wait_for(lambda: serves(server), "the server")
        fill(writer)
        for _ in range(3):  # each end and each start is told: 100 bytes and more, and no room
            [worker] = server.wait_workers(1)
            processes.kill(worker, signal.SIGKILL)
            wait_for(lambda: server.workers() not in ([], [worker]), "another worker")
            wait_for(lambda: serves(server), "it to serve")
        text = ""

        def reads_on():
            nonlocal text
            try:
                text += os.read(reader, 1 << 20).decode()
            except BlockingIOError:
                pass
            return text.count("killed by SIGKILL") == 3

        wait_for(reads_on, "what waited to be written")
        server.stop()
    finally:
        os.close(reader)
        os.close(writer)


def serves(server):
    try:
        return server.get().status == 200
    except OSError:
        return False


def test_an_application_that_never_ends_its_line_is_bounded(saola, release):
    server = saola(config={"app": {"workers": 1}}, program=release)
    worker = server.workers()[0]
    before = memory(worker)
    for piece in (1000, 20_000_000):  # little by little, and at once
        assert server.get(f"/flood?size=20000000&piece={piece}",
                          [("X-Request-ID", f"flood-{piece}")]).status == 200
    assert server.workers() == [worker]
    assert memory(worker) - before < 100_000_000  # 20 MB of text, a queue of 1 MiB
    server.wait_log(r"app app 1\[\d+\] generation=1 request=flood-1000: x{60000}")
    server.wait_log(r"request=flood-20000000: x{60000}")
    longest = max(len(line) for line in server.log().splitlines())
    assert longest < 70_000
    server.get("/output?text=after")
    server.wait_log("stdout after")


def memory(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_json_error_log(saola):
    server = saola(config={"log": {"error_format": "json"}})
    server.get("/fail", [("X-Request-ID", "the-one")])
    server.get("/output?text=pear")
    server.wait_log("raised before the head")
    server.wait_log("stderr pear")
    records = [json.loads(line) for line in server.log().splitlines()]
    keys = {"time", "level", "component", "pid", "generation", "request_id", "message"}
    assert all(set(record) == keys for record in records)
    [failure] = [r for r in records if "raised before the head" in r["message"]]
    assert failure["level"] == "error" and failure["request_id"] == "the-one"
    assert failure["component"] == "app app 1" and failure["generation"] == 1
    assert failure["pid"] == server.workers()[0] and "Traceback" in failure["message"]
    [printed] = [r for r in records if r["message"] == "stdout pear"]
    assert printed["level"] == "info" and printed["request_id"]
    server.send_signal(signal.SIGHUP)
    server.wait_log("SIGHUP: reloaded")
    [line] = wait_for(lambda: re.findall(r'.*"component":"worker app 2",.*"ready: .*', server.log()),
                      "the word of the next worker")
    assert json.loads(line)["generation"] == 2
