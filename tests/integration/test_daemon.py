"""`--daemon`: in the background, and the command says how the start went."""

import os
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from support import processes
from support.http_client import Client
from support.load import Load
from support.server import APPS, KEPT_ENVIRONMENT, binary
from support.waiting import DEADLINE, wait_for


class Background:
    """A server that a command started and left. It listens on a Unix socket and has a pid file."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.address = str(self.directory / "web.sock")
        self.log_path = self.directory / "error.log"
        self.pid_path = self.directory / "saola.pid"
        self.pid = None
        self.environment = {k: os.environ[k] for k in KEPT_ENVIRONMENT if k in os.environ}
        self.environment["GATES"] = str(self.directory)
        self.environment["PYTHONDONTWRITEBYTECODE"] = "1"

    def configure(self, target="raw_wsgi:application", directory=APPS, workers=2, more=""):
        (self.directory / "saola.toml").write_text(
            f'[server]\npid_file = "{self.pid_path}"\ncontrol_socket = "{self.directory}/control"\n'
            f'spool_dir = "{self.directory}"\n{more}\n'
            f'[[listen]]\naddress = "unix:{self.address}"\n'
            f'[app]\ntarget = "{target}"\ndirectory = "{directory}"\nworkers = {workers}\n'
            f'[log]\nerror = "{self.log_path}"\n')

    def command(self, *arguments, program=None):
        arguments = arguments or ("serve", "-c", str(self.directory / "saola.toml"), "--daemon")
        return subprocess.Popen([program or binary(), *arguments], cwd=self.directory,
                                env=self.environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def start(self, *arguments, **options):
        """The exit code and what the command said on standard error."""
        command = self.command(*arguments, **options)
        # Its output ends with it: nothing in the background holds it open.
        _, err = command.communicate(timeout=2 * DEADLINE)
        if self.pid_path.exists():
            self.pid = int(self.pid_path.read_text())
        return command.returncode, err

    def log(self):
        return self.log_path.read_text(errors="replace")

    def connect(self):
        return Client(self.address)

    def get(self, target="/"):
        with self.connect() as client:
            return client.exchange("GET", target)

    def workers(self):
        return [p.pid for p in processes.descendants(self.pid)
                if processes.title(p.pid).startswith("saola: worker")]

    def signal(self, number):
        os.kill(self.pid, number)

    def stop(self):
        """Its exit code; orphans are this process's children (conftest)."""
        if self.pid is None:
            return None
        self.signal(signal.SIGTERM)
        pid, self.pid = self.pid, None
        status = wait_for(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid and "ended", "its end")
        assert status and not self.pid_path.exists()
        return status


@pytest.fixture
def background(saola):
    made = []

    def make():
        made.append(Background(saola.directory()))
        return made[-1]

    yield make
    for server in made:
        server.stop()


def test_the_command_ends_when_the_server_is_ready(background):
    it = background()
    it.configure()
    code, err = it.start()
    assert (code, err) == (0, "")
    assert it.get().status == 200
    assert len(it.workers()) == 2
    assert "ready after" in it.log()


def test_it_is_in_a_session_of_its_own_and_holds_no_terminal(background):
    it = background()
    it.configure()
    assert it.start()[0] == 0
    assert os.getsid(it.pid) not in (os.getsid(0), it.pid)
    for fd in range(3):
        assert os.readlink(f"/proc/{it.pid}/fd/{fd}") == "/dev/null"
    assert os.readlink(f"/proc/{it.pid}/cwd") == str(it.directory)


def test_an_app_that_cannot_be_loaded_is_told_and_exits_with_3(background):
    it = background()
    (it.directory / "broken.py").write_text("raise RuntimeError('half a deploy')\n")
    it.configure("broken:app", it.directory)
    code, err = it.start()
    assert code == 3
    assert "Traceback" in err and "half a deploy" in err
    assert "half a deploy" in it.log()
    assert not it.pid_path.exists() and it.pid is None


def test_a_bad_configuration_exits_with_4(background):
    it = background()
    it.configure(more="nonsense = 1")
    code, err = it.start()
    assert code == 4 and "unknown key 'nonsense'" in err


def test_a_key_that_cannot_be_read_exits_with_4(background):
    it = background()
    it.configure()
    path = it.directory / "saola.toml"
    path.write_text(path.read_text().replace(
        "[app]", 'tls = { certificate = "no.pem", key = "no.pem" }\n[app]', 1))
    code, err = it.start()
    assert code == 4 and "no.pem" in err


def test_an_address_in_use_exits_with_1(background):
    it = background()
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(it.address)
        taken.listen()
        it.configure()
        code, err = it.start()
    assert code == 1 and "web.sock" in err


def test_a_second_one_is_refused(background):
    it = background()
    it.configure()
    assert it.start()[0] == 0
    code, err = it.start()
    assert code == 1 and str(it.pid) in err
    assert it.get().status == 200


def slow_app(it):
    (it.directory / "slow.py").write_text(
        "from gates import pass_gate\npass_gate('import')\n"
        "from raw_wsgi import application\n")
    it.environment["PYTHONPATH"] = str(APPS)
    it.configure("slow:application", it.directory, workers=1)
    path = it.directory / "saola.toml"
    path.write_text(path.read_text() + f'[app.env]\nGATES = "{it.directory}"\n')
    path.write_text(path.read_text().replace("workers = 1", f'workers = 1\npythonpath = ["{APPS}"]'))


def test_it_waits_for_a_slow_import_and_survives_its_command(background):
    it = background()
    slow_app(it)
    command = it.command()
    wait_for((it.directory / "import.started").exists, "the import")
    assert command.poll() is None, "it waits"
    it.pid = int(it.pid_path.read_text())
    command.kill()
    command.communicate()
    (it.directory / "import.open").touch()
    wait_for(lambda: "ready after" in it.log(), "the server to be ready")
    assert it.get().status == 200


def test_a_server_that_is_killed_while_it_starts(background):
    it = background()
    slow_app(it)
    command = it.command()
    wait_for((it.directory / "import.started").exists, "the import")
    pid = int(it.pid_path.read_text())
    os.kill(pid, signal.SIGKILL)
    _, err = command.communicate(timeout=DEADLINE)
    assert command.returncode == 1 and "died before it was ready" in err
    wait_for(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid, "its end")


def test_drop_in_mode(background):
    it = background()
    code, err = it.start("raw_wsgi:application", "-D", "-b", f"unix:{it.address}", "-p",
                         str(it.pid_path), "--chdir", str(APPS), "--error-logfile",
                         str(it.log_path), "--no-control-socket")
    assert (code, err) == (0, "")
    assert it.get().status == 200


def test_a_log_that_goes_nowhere_is_a_warning(background):
    it = background()
    code, err = it.start("raw_wsgi:application", "-D", "-b", f"unix:{it.address}", "-p",
                         str(it.pid_path), "--chdir", str(APPS), "--no-control-socket")
    assert code == 0 and "--daemon: the error log is standard error" in err
    assert it.get().status == 200


def test_output_can_be_kept(background):
    it = background()
    with (it.directory / "output").open("w") as output:
        done = subprocess.run(
            [binary(), "raw_wsgi:application", "-DR", "-b", f"unix:{it.address}", "-p",
             str(it.pid_path), "--chdir", str(APPS), "--no-control-socket", "--access-logfile", "-"],
            cwd=it.directory, env=it.environment, stdin=subprocess.DEVNULL, stdout=output,
            stderr=output, timeout=2 * DEADLINE)
    assert done.returncode == 0
    it.pid = int(it.pid_path.read_text())
    it.get("/kept")
    wait_for(lambda: "GET /kept" in (it.directory / "output").read_text(), "the access log's line")


def test_winch_lets_workers_rest_and_ttin_and_hup_bring_them_back(background):
    it = background()
    it.configure()
    assert it.start()[0] == 0
    with Load(it, threads=3) as load:
        for wake, count in ((signal.SIGTTIN, 1), (signal.SIGHUP, 2)):
            it.signal(signal.SIGWINCH)
            wait_for(lambda: not it.workers(), "the workers to end")
            it.signal(wake)
            wait_for(lambda: len(it.workers()) == count, f"{count} workers")
            some = load.answered
            wait_for(lambda: load.answered > some + 10, "answers again")
    load.check()


def test_requests_wait_while_the_workers_rest(background):
    it = background()
    it.configure(workers=1)
    assert it.start()[0] == 0
    it.signal(signal.SIGWINCH)
    wait_for(lambda: not it.workers(), "the worker to end")
    answers = []
    client = threading.Thread(target=lambda: answers.append(it.get().status))
    client.start()
    it.signal(signal.SIGTTIN)
    client.join()
    assert answers == [200]


def test_winch_means_nothing_in_the_foreground(saola):
    server = saola()
    before = server.workers()
    server.send_signal(signal.SIGWINCH)
    server.send_signal(signal.SIGUSR1)  # in order: the first one has been handled by then
    server.wait_log("SIGUSR1: logs reopened")
    assert server.get().status == 200
    assert server.workers() == before


def test_an_upgraded_server_is_still_in_the_background(background):
    it = background()
    it.configure(workers=1)
    assert it.start()[0] == 0
    it.signal(signal.SIGUSR2)
    wait_for(lambda: "from before the upgrade have ended" in it.log(), "the upgrade")
    assert int(it.pid_path.read_text()) == it.pid
    assert it.get().status == 200
    it.signal(signal.SIGWINCH)
    wait_for(lambda: re.search("all workers leave", it.log()), "the workers to rest")
