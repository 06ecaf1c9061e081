"""Starts the real binary, watches it, stops it, and checks what it leaves behind."""

import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

from . import processes
from .http_client import Client, ConnectionBroken, client_tls
from .toml_text import merge, to_toml
from .waiting import DEADLINE, wait_for

ROOT = Path(__file__).resolve().parents[3]
APPS = ROOT / "tests" / "apps"

# Of the environment of the test run, only these reach the server: nothing there may change what a test means.
KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "TMPDIR")

SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:exitcode=99:handle_abort=1:"
                    "detect_odr_violation=0:verify_asan_link_order=0:log_path={log}",
    "UBSAN_OPTIONS": "print_stacktrace=1:log_path={log}",
}
REPORT = re.compile(rb"AddressSanitizer|LeakSanitizer|runtime error: |SAOLA_CHECK|Assertion .* failed")


def binary():
    return os.environ.get("SAOLA_BINARY") or str(ROOT / "build" / "dev" / "saola")


def release_binary():
    return os.environ.get("SAOLA_RELEASE_BINARY") or str(ROOT / "build" / "release" / "saola")


class Saola:
    """One running server.

    Listeners are sockets bound here and inherited as fd:N, so no test races for a port. `listen` is
    a list of tables; one without `address` gets such a socket. `ports[i]` is the port of listener i.
    `admin`: metrics and health on such a socket too, at `admin_port`.
    """

    def __init__(self, directory, certs, app="raw_wsgi:application", *, listen=None, config=None,
                 toml=None, arguments=None, env=None, program=None, wrapper=(), stdout=None,
                 preexec=None, tls=True, admin=False):
        self.directory = Path(directory)
        self.certs = certs
        self.program = program or binary()
        self.expected_exit = 0
        self.ignore_reports = False
        self.returncode = None
        self.known = set()  # every process seen below the server
        self.spool = self.directory / "spool"
        self.gates = self.directory / "gates"
        for made in (self.spool, self.gates):
            made.mkdir(exist_ok=True)
            made.chmod(0o777)
        self.stderr_path = self.directory / "error.log"
        self.stdout_path = self.directory / "stdout.log"
        self.sanitizer_log = self.directory / "sanitizer"
        self.sockets, self.ports, self.addresses, self.encrypted = [], [], [], []
        # The default address belongs to whoever comes first.
        admin_listen = ""
        if admin:
            admin_socket = self._inherited_socket()
            self.admin_port = admin_socket.getsockname()[1]
            admin_listen = f"fd:{admin_socket.fileno()}"
        env = {"SAOLA_ADMIN_LISTEN": admin_listen} | (env or {})

        if listen is None:
            listen = [{"tls": certs.ecdsa.toml()}] if tls else [{}]
        listen = [self._listener(dict(table)) for table in listen]
        if arguments is None:
            if toml is None:
                toml = to_toml(self._config(app, listen, config or {}))
            else:
                for index, table in enumerate(listen):
                    toml = toml.replace("{listen%d}" % index, table["address"])
            self.config_path = self.directory / "saola.toml"
            self.config_path.write_text(toml)
            arguments = ["serve", "-c", str(self.config_path)]
        else:
            for index, table in enumerate(listen):
                address = table["address"].replace("fd:", "fd://")  # gunicorn's spelling
                arguments = [a.replace("{listen%d}" % index, address) for a in arguments]
        self._start([*wrapper, self.program, *arguments], env, stdout, preexec)

    def _inherited_socket(self):
        made = socket.create_server(("127.0.0.1", 0), backlog=2048)
        made.set_inheritable(True)
        self.sockets.append(made)
        return made

    def _listener(self, table):
        if "address" not in table:
            listener = self._inherited_socket()
            table["address"] = f"fd:{listener.fileno()}"
            self.addresses.append(listener.getsockname())
            self.ports.append(listener.getsockname()[1])
        else:
            address = table["address"]
            if address.startswith("unix:"):
                self.addresses.append(address[5:])
                self.ports.append(None)
            else:
                host, port = address.rsplit(":", 1)
                self.addresses.append((host.strip("[]"), int(port)))
                self.ports.append(int(port))
        self.encrypted.append("tls" in table)
        return table

    def _config(self, app, listen, changes):
        base = {
            "server": {"spool_dir": str(self.spool), "graceful_timeout": "20s"},
            "listen": listen,
            "log": {"level": "info"},
        }
        if "apps" not in changes:
            base["app"] = {"target": app, "directory": str(APPS), "workers": 1}
        return merge(base, changes)

    def _start(self, command, env, stdout, preexec):
        environment = {k: os.environ[k] for k in KEPT_ENVIRONMENT if k in os.environ}
        environment |= {k: v.format(log=self.sanitizer_log) for k, v in SANITIZERS.items()}
        environment["GATES"] = str(self.gates)
        # Tests that run as root and serve as another user write byte code nowhere.
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        environment |= env
        self._stdout = stdout if stdout is not None else open(self.stdout_path, "wb")
        self._stderr = open(self.stderr_path, "wb")
        self.process = subprocess.Popen(
            command, cwd=self.directory, env=environment, stdin=subprocess.DEVNULL,
            stdout=self._stdout, stderr=self._stderr, start_new_session=True,
            pass_fds=[s.fileno() for s in self.sockets], preexec_fn=preexec)
        self.pid = self.process.pid
        for handle in (*self.sockets, self._stderr, *([] if stdout is not None else [self._stdout])):
            handle.close()

    # -- state

    @property
    def port(self):
        return self.ports[0]

    def log(self):
        """The error log (standard error) so far."""
        return self.stderr_path.read_text(errors="backslashreplace")

    def stdout(self):
        return self.stdout_path.read_text(errors="backslashreplace")

    def wait_log(self, pattern, deadline=DEADLINE):
        return wait_for(lambda: re.search(pattern, self.log()), f"/{pattern}/ in the log:\n", deadline)

    def note_processes(self):
        """Remembers what runs below the server, to find what stays behind."""
        now = processes.descendants(self.pid)
        self.known.update(now)
        return now

    def _titled(self, words):
        return [p.pid for p in self.note_processes() if processes.title(p.pid).startswith(words)]

    def edge(self):
        return wait_for(lambda: self._titled("saola: edge"), "the edge process")[0]

    def admins(self):
        return self._titled("saola: admin")

    def workers(self):
        """Process ids of the workers, oldest first."""
        return sorted(self._titled("saola: worker"), key=lambda pid: processes.find(pid).start)

    def wait_workers(self, count):
        return wait_for(lambda: len(self.workers()) == count and self.workers(), f"{count} workers")

    def wait_ready(self):
        """Until the first listener answers through the app's worker, or the server has ended."""

        def answers():
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log()}")
            return re.search(READY, self.log())

        wait_for(answers, f"the server to be ready; its log:\n{self.log()}", 2 * DEADLINE)
        self.note_processes()
        return self

    # -- clients

    def tls_context(self, **options):
        pairs = (self.certs.ecdsa, self.certs.rsa, self.certs.one, self.certs.two, self.certs.wild)
        return client_tls(*(pair.certificate for pair in pairs), **options)

    def connect(self, index=0, tls=None, server_name="localhost", **options):
        """A Client on listener `index`; under TLS if the listener is."""
        if tls is None and self.encrypted[index]:
            tls = self.tls_context()
        return Client(self.addresses[index], tls or None, server_name if tls else None, **options)

    def exchange(self, method="GET", target="/", headers=(), body=None, index=0, **more):
        """One request on a connection of its own."""
        with self.connect(index) as client:
            return client.exchange(method, target, headers, body, **more)

    def get(self, target="/", headers=(), **more):
        return self.exchange("GET", target, headers, **more)

    def url(self, target="/", index=0):
        scheme = "https" if self.encrypted[index] else "http"
        return f"{scheme}://localhost:{self.ports[index]}{target}"

    def curl(self, *arguments, check=True):
        """curl that trusts the test certificates; its completed process, output as bytes."""
        command = ["curl", "-sS", "--max-time", str(int(DEADLINE)), "--cacert",
                   self.certs.ecdsa.certificate, "--resolve",
                   f"localhost:{self.port}:127.0.0.1", *arguments]
        done = subprocess.run(command, capture_output=True)
        if check:
            assert done.returncode == 0, done.stderr.decode()
        return done

    # -- gates: an app that waits for a test (tests/apps/gates.py)

    def wait_gate(self, name):
        """Until an app has reached the gate; what it left there (a JSON value)."""
        started = self.gates / f"{name}.started"
        wait_for(started.exists, f"the app to reach gate {name}")
        return json.loads(started.read_text())

    def open_gate(self, name):
        (self.gates / f"{name}.open").touch()

    # -- the end

    def send_signal(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM, deadline=2 * DEADLINE):
        """Sends the signal, if it still runs, and waits for the end; the exit code."""
        if self.process.poll() is None:
            self.note_processes()
            self.process.send_signal(number)
        return self.wait_exit(deadline)

    def wait_exit(self, deadline=2 * DEADLINE):
        try:
            self.returncode = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            left = [(p.pid, processes.title(p.pid)) for p in self.note_processes()]
            self._kill_all()
            raise AssertionError(f"did not end within {deadline:.0f} s; ran: {left}\n{self.log()}")
        return self.returncode

    def _kill_all(self):
        for process in [*self.note_processes(), processes.find(self.pid)]:
            if process and process.alive():
                processes.kill(process.pid)
        self.process.wait()

    def finish(self):
        """Stops it if it runs, and asserts that it left nothing behind and reported nothing."""
        if self.returncode is None:
            self.stop()
        stray = [p for p in self.known if p.alive()]
        try:
            wait_for(lambda: not any(p.alive() for p in stray), "the children to end", 10)
        except AssertionError:
            titles = [(p.pid, processes.title(p.pid)) for p in stray if p.alive()]
            for process in stray:
                if process.alive():
                    processes.kill(process.pid)
            raise AssertionError(f"processes left behind: {titles}\n{self.log()}")
        if not self.ignore_reports:
            reports = [p.read_text(errors="replace")
                       for p in self.directory.glob("sanitizer.*")]
            assert not reports, "a sanitizer reports:\n" + "\n".join(reports)
            assert not REPORT.search(self.stderr_path.read_bytes()), self.log()
        assert self.returncode == self.expected_exit, \
            f"exit code {self.returncode}, not {self.expected_exit}:\n{self.log()}"
        left = sorted(p.name for p in self.spool.iterdir())
        assert not left, f"files left in spool_dir: {left}"


# The supervisor's line once every listener and worker serves.
READY = r"\bready after "


def completes(action):
    """Runs `action`; False if the connection broke instead."""
    try:
        action()
        return True
    except (ConnectionBroken, OSError):
        return False
