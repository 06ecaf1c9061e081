"""Upgrade of the binary in place (USR2): the same process, other programs in it, no request lost."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from support import processes
from support.load import Load
from support.server import binary
from support.waiting import DEADLINE, wait_for

APP = """
import os
VERSION = {version!r}

def application(environ, start_response):
    if environ["PATH_INFO"] == "/gate":
        from gates import pass_gate
        pass_gate("request")
    body = environ["wsgi.input"].read() if environ["REQUEST_METHOD"] == "POST" else VERSION.encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


class Installed:
    """A server whose binary and application the test replaces."""

    def __init__(self, saola, **options):
        self.apps = Path(saola.directory())
        self.path = Path(saola.directory()) / "saola"
        self.install(binary())
        self.write("one")
        app = {"directory": str(self.apps), "workers": 2, **options.pop("app", {})}
        config = {"app": app, **options.pop("config", {})}
        self.server = saola("versioned:application", program=str(self.path), config=config, **options)

    def install(self, source, mode=0o755):
        """As packages do: another file under the same name."""
        beside = self.path.with_suffix(".new")
        shutil.copy(source, beside)
        beside.chmod(mode)
        beside.rename(self.path)

    def write(self, version):
        (self.apps / "versioned.py").write_text(APP.format(version=version))

    def upgrade(self):
        """Until the new image serves alone."""
        seen = len(self.server.log())
        self.server.note_processes()
        self.server.send_signal(signal.SIGUSR2)
        wait_for(lambda: "from before the upgrade have ended" in self.server.log()[seen:],
                 "the upgrade")
        return self.server.log()[seen:]

    def fail(self, words):
        """The log from the attempt on, up to `words`."""
        seen = len(self.server.log())
        self.server.note_processes()
        self.server.send_signal(signal.SIGUSR2)
        wait_for(lambda: words in self.server.log()[seen:], f"{words!r} in the log")
        return self.server.log()[seen:]

    def family(self):
        return [self.server.edge(), *self.server.wait_workers(2)]


@pytest.fixture
def installed(saola):
    return lambda **options: Installed(saola, **options)


def test_the_process_stays_and_its_children_are_new(installed):
    it = installed()
    before = it.family()
    inode = os.stat(f"/proc/{it.server.pid}/exe").st_ino
    it.install(binary())
    it.write("two")
    it.upgrade()
    assert it.server.process.poll() is None
    assert os.stat(f"/proc/{it.server.pid}/exe").st_ino == it.path.stat().st_ino != inode
    assert not set(before) & set(it.family())
    assert {it.server.get().text for _ in range(4)} == {"two"}


def test_no_request_fails_during_upgrades(installed):
    it = installed()
    with Load(it.server, post="/") as load:
        for version in range(4):
            it.install(binary())
            it.write(str(version))
            it.upgrade()
    load.check(least=20)
    assert it.server.get().text == "3"
    assert len(it.family()) == 3


def test_a_request_that_runs_is_answered_by_who_began_it(installed):
    it = installed()
    shutil.copy(Path(__file__).parents[1] / "apps" / "gates.py", it.apps)
    with it.server.connect() as client:
        client.request(target="/gate")
        it.server.wait_gate("request")
        it.write("two")
        it.server.note_processes()
        it.server.send_signal(signal.SIGUSR2)
        wait_for(lambda: it.server.get().text == "two", "the new image")
        it.server.open_gate("request")
        assert client.response().text == "one"
    it.server.wait_log("from before the upgrade have ended")


@pytest.mark.parametrize("program, mode, words", [
    (__file__, 0o755, "Exec format error"),
    ("/bin/true", 0o644, "Permission denied"),
    ("/bin/false", 0o755, "it cannot take over: exit code 1"),
    ("/bin/ls", 0o755, "cannot access 'serve'"),
    ("/bin/true", 0o755, "no Saola that knows this kind of upgrade"),
])
def test_a_binary_that_does_not_work_is_refused(installed, program, mode, words):
    it = installed()
    before = it.family()
    with Load(it.server, post="/") as load:
        it.install(program, mode)
        assert words in it.fail("SIGUSR2: not upgraded")
    load.check()
    assert it.family() == before
    it.install(binary())
    it.upgrade()
    assert it.server.get().text == "one"


def test_no_binary_at_all_is_refused(installed):
    it = installed()
    it.path.unlink()
    assert "No such file" in it.fail("SIGUSR2: not upgraded")
    assert it.server.get().text == "one"


def test_a_configuration_that_the_new_binary_refuses_is_told(installed):
    it = installed()
    before = it.family()
    text = it.server.config_path.read_text()
    it.server.config_path.write_text(text + "\n[nonsense]\nkey = 1\n")
    assert "nonsense" in it.fail("SIGUSR2: not upgraded")
    assert it.family() == before
    assert it.server.get().text == "one"


def test_an_app_that_cannot_be_imported_any_more_brings_the_old_binary_back(installed):
    it = installed()
    before = it.family()
    inode = it.path.stat().st_ino
    it.install(binary())
    (it.apps / "versioned.py").write_text("raise RuntimeError('no database')\n")
    with Load(it.server, post="/") as load:
        log = it.fail("the upgrade failed, the old binary goes on")
        assert "RuntimeError: no database" in log
        wait_for(lambda: os.stat(f"/proc/{it.server.pid}/exe").st_ino == inode, "the old binary")
    load.check()
    assert it.family() == before, "the processes that served serve on"
    assert it.server.get().text == "one"
    # It is a whole supervisor: it replaces what dies, reloads, and upgrades when the app is back.
    it.write("two")
    processes.kill(before[1], signal.SIGKILL)
    wait_for(lambda: before[1] not in it.server.workers() and len(it.server.workers()) == 2,
             "another worker")
    it.server.send_signal(signal.SIGHUP)
    it.server.wait_log("SIGHUP: reloaded")
    assert it.server.get().text == "two"
    it.write("three")
    with Load(it.server, post="/") as load:
        it.upgrade()
    load.check()
    assert it.server.get().text == "three"


def test_the_old_binary_needs_no_configuration_to_come_back(installed):
    """The file may name keys by then that it does not know."""
    it = installed(app={"workers": 2, "boot_timeout": "60s"})
    shutil.copy(Path(__file__).parents[1] / "apps" / "gates.py", it.apps)
    before = it.family()
    (it.apps / "versioned.py").write_text(
        "from gates import pass_gate\npass_gate('request')\nraise RuntimeError('no database')\n")
    it.server.send_signal(signal.SIGUSR2)
    it.server.wait_gate("request")
    it.server.config_path.write_text("[nonsense]\n")
    it.server.open_gate("request")
    it.server.wait_log("the upgrade failed, the old binary goes on")
    assert it.server.get().text == "one"
    assert it.family() == before


def test_an_edge_that_died_meanwhile_is_replaced_by_the_old_binary(installed):
    it = installed()
    shutil.copy(Path(__file__).parents[1] / "apps" / "gates.py", it.apps)
    before = it.family()
    (it.apps / "versioned.py").write_text(
        "from gates import pass_gate\npass_gate('request')\nraise RuntimeError('no database')\n")
    it.server.send_signal(signal.SIGUSR2)
    it.server.wait_gate("request")
    processes.kill(before[0], signal.SIGKILL)
    it.server.wait_log(r"old edge \(pid \d+\) has ended")
    it.server.open_gate("request")
    it.server.wait_log("the upgrade failed, the old binary goes on")
    it.server.wait_log("a new edge listens")
    assert it.server.get().text == "one"
    assert it.server.wait_workers(2) == before[1:], "the app's state lives on"


def test_unix_listeners_and_the_pid_file_stay(installed, saola):
    directory = Path(saola.directory())
    socket, pid_file = directory / "web.sock", directory / "saola.pid"
    it = installed(listen=[{}, {"address": f"unix:{socket}"}],
                   config={"server": {"pid_file": str(pid_file)}})
    inode = socket.stat().st_ino
    for _ in range(2):
        it.upgrade()
        assert it.server.exchange(index=1).text == "one"
        assert socket.stat().st_ino == inode
        assert pid_file.read_text() == f"{it.server.pid}\n"
    (it.apps / "versioned.py").write_text("raise RuntimeError('no database')\n")
    it.fail("the upgrade failed, the old binary goes on")
    assert it.server.exchange(index=1).text == "one"
    assert socket.stat().st_ino == inode
    second = saola(wait=False, config={"server": {"pid_file": str(pid_file)}})
    second.expected_exit = 1
    second.wait_exit()
    assert f"already running: pid {it.server.pid}" in second.log()
    assert it.server.stop() == 0
    assert not socket.exists() and not pid_file.exists()


def test_a_stop_during_an_upgrade_ends_everything(installed):
    it = installed()
    shutil.copy(Path(__file__).parents[1] / "apps" / "gates.py", it.apps)
    (it.apps / "versioned.py").write_text(
        "from gates import pass_gate\npass_gate('request')\n" + APP.format(version="two"))
    it.server.note_processes()
    it.server.send_signal(signal.SIGUSR2)
    it.server.wait_gate("request")
    assert it.server.stop() == 0


def test_signals_during_the_exec_are_not_lost(installed):
    it = installed()
    it.server.note_processes()
    it.server.send_signal(signal.SIGUSR2)
    it.server.wait_log("upgrade: the new binary takes over")
    it.server.send_signal(signal.SIGTERM)
    assert it.server.wait_exit() == 0
    assert re.search("SIGTERM: stopping", it.server.log())


def test_a_second_signal_during_an_upgrade_does_no_harm(installed):
    it = installed()
    with Load(it.server, post="/") as load:
        seen = len(it.server.log())
        for _ in range(5):
            it.server.send_signal(signal.SIGUSR2)
        wait_for(lambda: "from before the upgrade have ended" in it.server.log()[seen:], "the upgrade")
    load.check()
    assert len(it.family()) == 3


def test_a_link_that_is_pointed_elsewhere_is_followed(installed, saola):
    """/opt/saola/current/saola -> a directory for each version."""
    directory = Path(saola.directory())
    for name in ("1", "2"):
        (directory / name).mkdir()
        shutil.copy(binary(), directory / name / "saola")
    link = directory / "current"
    link.symlink_to("1")
    server = saola("raw_wsgi:application", program=str(link / "saola"))
    link.unlink()
    link.symlink_to("2")
    server.send_signal(signal.SIGUSR2)
    server.wait_log("from before the upgrade have ended")
    assert os.readlink(f"/proc/{server.pid}/exe") == str(directory / "2" / "saola")


def test_drop_in_mode_is_upgraded_with_its_flags(installed, saola):
    directory = Path(saola.directory())
    path = directory / "saola"
    shutil.copy(binary(), path)
    server = saola(program=str(path), listen=[{}],
                   arguments=["raw_wsgi:application", "--bind", "{listen0}", "--workers", "2",
                              "--chdir", str(Path(__file__).parents[1] / "apps")])
    before = [server.edge(), *server.wait_workers(2)]
    server.send_signal(signal.SIGUSR2)
    server.wait_log("from before the upgrade have ended")
    assert not set(before) & {server.edge(), *server.wait_workers(2)}
    assert server.get().status == 200


def test_the_command_waits_for_the_outcome_and_tells_it(installed, saola):
    socket = Path(saola.directory()) / "control.sock"
    it = installed(config={"server": {"control_socket": str(socket)}})

    def upgrade():
        it.server.note_processes()
        return subprocess.run([binary(), "upgrade", "--socket", str(socket)], capture_output=True,
                              text=True, timeout=DEADLINE)

    done = upgrade()
    assert done.returncode == 0, done.stderr
    assert f"serves (pid {it.server.pid})" in done.stdout
    it.server.wait_log("from before the upgrade have ended")
    (it.apps / "versioned.py").write_text("raise RuntimeError('no database')\n")
    done = upgrade()
    assert done.returncode == 1
    assert "RuntimeError: no database" in done.stderr
    it.path.unlink()
    done = upgrade()
    assert done.returncode == 1
    assert "No such file" in done.stderr
