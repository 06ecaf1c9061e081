"""The control socket and the commands that speak to it."""

import json
import os
import pty
import re
import select
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from support.load import Load
from support.server import APPS, binary
from support.waiting import DEADLINE, wait_for


class Control:
    """Commands for one server; its socket is in a runtime directory of its own."""

    def __init__(self, saola, app="raw_wsgi:application", **config):
        self.directory = Path(saola.directory())
        server = {"runtime_dir": str(self.directory / "run"), **config.pop("server", {})}
        self.server = saola(app=app, tls=False, config={"server": server, **config})
        self.socket = self.directory / "run" / "saola.sock"

    def run(self, *arguments, deadline=2 * DEADLINE):
        done = subprocess.run(
            [binary(), arguments[0], "--socket", str(self.socket), *arguments[1:]],
            capture_output=True, text=True, timeout=deadline)
        return done

    def good(self, *arguments):
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self):
        return json.loads(self.good("status", "--json"))

    def ask(self, line):
        """One raw request; the answer as a value."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE)
            client.connect(str(self.socket))
            client.sendall(line + b"\n")
            return json.loads(client.makefile("rb").readline())


def test_status_tells_what_runs(saola):
    control = Control(saola)
    status = control.status()
    assert status["pid"] == control.server.pid
    assert status["state"] == "serving" and status["ready"] is True
    assert status["edge_pid"] == control.server.edge()
    assert [w["pid"] for w in status["workers"]] == control.server.workers()
    assert status["workers"][0]["memory_bytes"] > 1 << 20
    assert status["apps"][0]["interface"] == "wsgi"
    assert status["config_path"] == str(control.server.config_path)
    table = control.good("status")
    assert re.search(r"^saola \d+\.\d+\.\d+  serving  pid %d " % control.server.pid, table)


def test_the_socket_is_private_and_goes_away_with_the_server(saola):
    control = Control(saola)
    assert stat.S_IMODE(control.socket.lstat().st_mode) == 0o600
    control.server.stop()
    assert not control.socket.exists()
    done = control.run("status")
    assert done.returncode == 1 and "there is no server" in done.stderr


def test_a_socket_left_behind_by_a_killed_server_is_replaced(saola):
    control = Control(saola)
    control.server.expected_exit = -signal.SIGKILL
    control.server.stop(signal.SIGKILL)
    assert control.socket.exists()
    again = saola(app="raw_wsgi:application", tls=False,
                  config={"server": {"runtime_dir": str(control.directory / "run")}})
    assert control.status()["pid"] == again.pid


@pytest.mark.root
def test_another_user_is_refused_whatever_the_mode_of_the_socket(saola):
    control = Control(saola, server={"control_socket_mode": "0666"})
    for directory in (control.directory, control.directory / "run"):
        directory.chmod(0o755)
    done = subprocess.run([binary(), "stop", "--socket", str(control.socket)], user=54321,
                          capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 1
    assert "not allowed" in done.stderr
    assert "refused uid 54321" in control.server.log()
    assert control.status()["state"] == "serving"


@pytest.mark.parametrize("line", [b"", b"hello", b"{", b'{"command":"dance"}', b"[" * 10000,
                                  b'{"command":"scale","workers":-1}', b"\xff\x00\x1b[2J",
                                  b"GET / HTTP/1.1\r", b"x" * 20000])
def test_nonsense_is_answered_and_harms_nobody(saola, line):
    control = Control(saola)
    answer = control.ask(line)
    assert answer["ok"] is False and answer["error"]
    assert control.server.get("/").status == 200
    assert control.status()["state"] == "serving"


def test_a_client_that_says_nothing_holds_up_nobody(saola):
    control = Control(saola)
    silent = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    for client in silent:
        client.connect(str(control.socket))
        client.sendall(b'{"command":')
    assert control.status()["state"] == "serving"
    for client in silent:
        client.close()


def test_a_client_that_takes_no_answer_holds_up_nobody(saola):
    control = Control(saola)
    with socket.socket(socket.AF_UNIX) as greedy:
        greedy.setblocking(False)
        greedy.connect(str(control.socket))
        sent = 0
        # Nobody reads its answers, so the server reads no more of it, and in the end nor does the
        # kernel.
        with pytest.raises(BlockingIOError):
            while sent < 1 << 26:
                sent += greedy.send(b'{"command":"status"}\n' * 100)
        assert control.status()["state"] == "serving"
        control.good("reload")
        assert control.server.get().status == 200


def test_too_many_clients_are_told_so(saola):
    control = Control(saola)
    silent = [socket.socket(socket.AF_UNIX) for _ in range(32)]
    for client in silent:
        client.connect(str(control.socket))
    done = control.run("status")
    assert done.returncode == 1 and "too many clients" in done.stderr
    assert control.server.get().status == 200
    silent.pop().close()
    wait_for(lambda: control.run("status").returncode == 0, "a place")
    for client in silent:
        client.close()


def test_stop_waits_until_the_server_has_ended(saola):
    control = Control(saola)
    assert control.good("stop") == "stopped\n"
    # Its end was waited for: only its exit code is to be fetched.
    assert control.server.wait_exit(deadline=1) == 0


def test_reload_answers_when_the_new_generation_serves(saola):
    control = Control(saola)
    before = control.server.workers()
    control.good("reload")
    status = control.status()
    assert status["generation"] == 2
    assert status["last_reload"]["succeeded"] is True
    serving = [w["pid"] for w in status["workers"] if w["generation"] == 2]
    assert serving and not set(serving) & set(before)


def test_a_failed_reload_says_why_and_the_old_generation_serves_on(saola):
    control = Control(saola)
    text = control.server.config_path.read_text()
    (control.directory / "broken.py").write_text("def half():\n    raise RuntimeError('half a deploy')\nhalf()\n")
    control.server.config_path.write_text(
        text.replace("raw_wsgi:application", "broken:app").replace(str(APPS), str(control.directory)))
    done = control.run("reload")
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "half a deploy" in done.stderr
    assert control.server.get("/").status == 200
    status = control.status()
    assert status["generation"] == 1
    assert status["last_reload"]["succeeded"] is False
    control.server.config_path.write_text("[app]\ntarget = 7\n")
    done = control.run("reload")
    assert done.returncode == 1 and "saola.toml:2:" in done.stderr


def test_scale_changes_the_number_of_workers(saola):
    control = Control(saola)
    control.good("scale", "3")
    control.server.wait_workers(3)
    control.good("scale", "1")
    control.server.wait_workers(1)
    done = control.run("scale", "2", "--app", "nobody")
    assert done.returncode == 1 and "nobody" in done.stderr


def test_recycle_replaces_one_worker(saola):
    control = Control(saola)
    old = control.status()["workers"][0]
    control.good("recycle", str(old["id"]))
    wait_for(lambda: old["pid"] not in control.server.workers(), "the old worker to end")
    assert len(control.server.wait_workers(1)) == 1
    done = control.run("recycle", "4000000")
    assert done.returncode == 1 and "4000000" in done.stderr


def test_stacks_are_in_the_error_log(saola):
    control = Control(saola)
    control.good("stacks")
    assert re.search(r"Thread 0x", control.server.log())


def closes(answer):
    return (answer.get("Connection") or "").lower() == "close"


def test_drain_lets_connections_go_after_their_next_answer(saola):
    control = Control(saola)
    with control.server.connect() as kept:
        assert not closes(kept.exchange("GET", "/"))
        control.good("drain")
        assert control.status()["ready"] is False and control.status()["state"] == "serving"
        answer = kept.exchange("GET", "/")
        assert answer.status == 200 and closes(answer)
        assert not kept._fill(), "the server ends the connection"
    for _ in range(3):
        answer = control.server.get("/")
        assert answer.status == 200 and closes(answer), "new connections are served"
    done = control.run("upgrade")
    assert done.returncode == 1 and "drain" in done.stderr


def test_drain_answers_what_a_client_has_sent_already(saola):
    control = Control(saola)
    with control.server.connect() as client:
        client.request(target="/gate?name=one")
        control.server.wait_gate("one")
        client.request()
        client.request()
        control.good("drain")
        control.server.open_gate("one")
        answers = [client.response() for _ in range(3)]
        assert [a.status for a in answers] == [200, 200, 200]
        assert closes(answers[2])


def test_no_request_is_lost_by_drain(saola):
    control = Control(saola)
    with Load(control.server) as load:
        wait_for(lambda: load.answered > 20, "some answers")
        control.good("drain")
        some = load.answered
        wait_for(lambda: load.answered > some + 50, "answers after it")
    load.check()


def test_the_edge_after_a_drained_one_lets_connections_go_too(saola):
    control = Control(saola)
    control.good("drain")
    os.kill(control.server.edge(), signal.SIGKILL)
    control.server.wait_log("a new edge listens")
    answer = control.server.get("/")
    assert answer.status == 200 and closes(answer)


def test_connections_leave_during_drain_delay(saola):
    control = Control(saola, server={"drain_delay": "60s"})
    with control.server.connect() as kept:
        assert not closes(kept.exchange("GET", "/"))
        control.server.send_signal(signal.SIGTERM)
        control.server.wait_log("not ready any more")
        assert closes(kept.exchange("GET", "/"))
    answer = control.server.get("/")
    assert answer.status == 200 and closes(answer)
    assert control.server.stop() == 0  # the second TERM


def test_reopen_writes_to_a_new_file(saola):
    directory = Path(saola.directory())
    log = directory / "access.log"
    control = Control(saola, log={"access": str(log)})
    log.rename(directory / "access.log.1")
    control.good("reopen")
    control.server.get("/")
    wait_for(lambda: log.exists() and log.read_text(), "a line in the new file")


def test_status_names_the_requests_that_run(saola):
    control = Control(saola)
    with control.server.connect() as client:
        client.request(target="/gate?name=one&token=secret")
        control.server.wait_gate("one")
        report = json.loads(control.good("status", "--json", "--requests"))["requests"]
        control.server.open_gate("one")
        assert client.response().status == 200
    assert [r["path"] for r in report["requests"]] == ["/gate"]
    assert report["requests"][0]["state"] == "running"
    assert report["connections"] == 1


def test_top_shows_the_server_until_q_is_pressed(saola):
    control = Control(saola)
    parent, child = pty.openpty()
    top = subprocess.Popen([binary(), "top", "--socket", str(control.socket)], stdin=child,
                           stdout=child, stderr=subprocess.PIPE, start_new_session=True)
    os.close(child)
    seen = b""

    def refreshed():
        nonlocal seen
        if select.select([parent], [], [], 0.1)[0]:
            seen += os.read(parent, 65536)
        return seen.count(b"\x1b[H") >= 3

    wait_for(refreshed, "three looks at the server")
    assert b"REQ/S" in seen and str(control.server.pid).encode() in seen
    os.write(parent, b"q")
    assert top.wait(DEADLINE) == 0, top.stderr.read()
    seen += os.read(parent, 65536)
    assert seen.endswith(b"\x1b[?25h\x1b[?1049l"), "the terminal is as it was"
    os.close(parent)
    top.stderr.close()


def test_a_client_that_leaves_does_not_stop_a_reload(saola):
    control = Control(saola)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(control.socket))
        client.sendall(b'{"command":"reload"}\n')
        control.server.wait_log("control socket: reload")
    wait_for(lambda: control.status()["generation"] == 2, "the new generation")


def test_the_control_socket_can_be_turned_off(saola):
    server = saola(app="raw_wsgi:application", tls=False,
                   config={"server": {"control_socket": "off"}})
    done = subprocess.run([binary(), "status", "-c", str(server.config_path)],
                          env={"PATH": os.environ["PATH"]}, capture_output=True, text=True,
                          timeout=DEADLINE)
    assert done.returncode == 1 and "turns the control socket off" in done.stderr


def test_readiness_is_told_to_the_service_manager(saola):
    """sd_notify(3): READY=1 once it serves, STOPPING=1 at the end."""
    directory = Path(saola.directory())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(DEADLINE)
        manager.bind(str(directory / "notify"))
        server = saola(app="raw_wsgi:application", tls=False,
                       env={"NOTIFY_SOCKET": str(directory / "notify")})
        messages = []

        def told(word):
            while not any(word in m.split("\n") for m in messages):
                messages.append(manager.recv(4096).decode())

        told("READY=1")
        server.send_signal(signal.SIGTERM)
        told("STOPPING=1")
