"""The servers that benchmarks start: Saola's release build, nginx, and nginx before Python servers.

Each is started for one measurement and stopped after it, listens on 127.0.0.1 with TLS 1.3 and the
same certificate, has no access log and one process per role.
"""

import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APPS = ROOT / "tests" / "apps"
BODY = b"Hello, World!"


def certificate(directory):
    """Paths of a new self-signed certificate and its key."""
    paths = Path(directory) / "cert.pem", Path(directory) / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-days", "30", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost", "-keyout", paths[1], "-out", paths[0]],
                   check=True, capture_output=True)
    return paths


def client_context(cert):
    context = ssl.create_default_context(cafile=cert)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid):
    """User and system time, of all threads."""
    text = Path(f"/proc/{pid}/stat").read_text()
    fields = text[text.rindex(")") + 2:].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss_bytes(pid):
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no Pss for {pid}")


def below(pid):
    """The process and its descendants."""
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        found.append(current)
        for task in Path(f"/proc/{current}/task").iterdir():
            waiting += map(int, (task / "children").read_text().split())
    return found


def title(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()


class Server:
    """A started server. groups() names its processes by role."""

    name = ""

    def __init__(self, cert, key):
        self.cert, self.key = cert, key
        self.scratch = tempfile.TemporaryDirectory(prefix="saola-bench-")
        self.directory = Path(self.scratch.name)
        self.processes = []
        self.port = free_port()

    def run(self, command, **options):
        log = open(self.directory / "log", "ab")
        # SAOLA_ variables are settings to the server; here they are the tests' own.
        environment = {k: v for k, v in os.environ.items()
                       if k != "VIRTUAL_ENV" and not k.startswith("SAOLA_")}
        process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=log, env=environment, **options)
        log.close()
        self.processes.append(process)
        return process

    def wait(self, target="/", body=BODY, deadline=60):
        """Until it answers as it should."""
        end = time.monotonic() + deadline
        context = client_context(self.cert)
        while True:
            try:
                raw = socket.create_connection(("127.0.0.1", self.port), timeout=deadline)
                with context.wrap_socket(raw, server_hostname="localhost") as tls:
                    tls.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n"
                                "Connection: close\r\n\r\n".encode())
                    answer = b""
                    while data := tls.recv(65536):
                        answer += data
                if answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(body):
                    return self
            except OSError:
                answer = b""
            if time.monotonic() > end or any(p.poll() is not None for p in self.processes):
                log = (self.directory / "log").read_text(errors="replace")
                self.stop()
                sys.exit(f"{self.name} does not answer ({answer[:200]!r}); its log:\n{log}")
            time.sleep(0.02)

    def stop(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.scratch.cleanup()

    def groups(self):
        raise NotImplementedError

    def cpu(self):
        return {name: sum(map(cpu_seconds, pids)) for name, pids in self.groups().items()}


class Saola(Server):
    """`app` is a target in tests/apps; `more` is added to [app], as TOML lines."""

    def __init__(self, cert, key, app, name, more="workers = 1", limits=""):
        super().__init__(cert, key)
        self.name = name
        listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        listener.set_inheritable(True)
        self.port = listener.getsockname()[1]
        config = self.directory / "saola.toml"
        config.write_text(f"""
[server]
spool_dir = "{self.directory}"
[[listen]]
address = "fd:{listener.fileno()}"
tls = {{ certificate = "{cert}", key = "{key}", min_version = "1.3" }}
[app]
target = "{app}"
directory = "{APPS}"
{more}
[limits]
keepalive_requests = 0
keepalive_timeout = "1h"
{limits}
""")
        binary = os.environ.get("SAOLA_RELEASE_BINARY") or ROOT / "build" / "release" / "saola"
        self.main = self.run([binary, "serve", "-c", config], pass_fds=[listener.fileno()])
        listener.close()

    def groups(self):
        roles = {"edge": [], "worker": [], "supervisor": []}
        for pid in below(self.main.pid):
            words = title(pid).split()
            role = words[1].rstrip(":") if words[:1] == ["saola:"] else ""
            roles[role if role in roles else "supervisor"].append(pid)
        return roles


class Nginx(Server):
    """nginx with one worker; `location` is what location / does."""

    name = "nginx return 200"
    connections = 20_000

    def __init__(self, cert, key, location=f'return 200 "{BODY.decode()}";', upstream=""):
        super().__init__(cert, key)
        config = self.directory / "nginx.conf"
        # Started as root it would give up what the files here need.
        user = "user root;" if os.geteuid() == 0 else ""
        config.write_text(f"""
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile {self.connections};
pid {self.directory}/nginx.pid;
error_log {self.directory}/nginx.log warn;
events {{ worker_connections {self.connections - 100}; }}
http {{
  access_log off;
  default_type text/plain;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_body_temp_path {self.directory}/body;
  proxy_temp_path {self.directory}/proxy;
  fastcgi_temp_path {self.directory}/fastcgi;
  uwsgi_temp_path {self.directory}/uwsgi;
  scgi_temp_path {self.directory}/scgi;
  {upstream}
  server {{
    listen 127.0.0.1:{self.port} ssl backlog=4096;
    ssl_certificate {cert};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.3;
    location / {{ {location} }}
  }}
}}
""")
        self.nginx = self.run(["nginx", "-e", self.directory / "nginx.log", "-c", config])

    def groups(self):
        return {"nginx": below(self.nginx.pid)}


class BehindNginx(Nginx):
    """A Python server on a Unix socket, nginx before it."""

    keepalive = ""

    def __init__(self, cert, key, venv):
        self.venv = venv
        path = Path(tempfile.mkdtemp(prefix="saola-bench-")) / "app.sock"
        super().__init__(
            cert, key, "proxy_pass http://app; proxy_http_version 1.1;"
            'proxy_set_header Host $host; proxy_set_header Connection "";',
            f"upstream app {{ server unix:{path}; {self.keepalive} }}")
        self.socket_path = path
        self.app = self.run([word.format(socket=path) for word in self.command()], cwd=APPS)

    def command(self):
        raise NotImplementedError

    def groups(self):
        return {"nginx": below(self.nginx.pid), "app": below(self.app.pid)}

    def stop(self):
        super().stop()
        self.socket_path.unlink(missing_ok=True)
        self.socket_path.parent.rmdir()


class NginxGunicorn(BehindNginx):
    name = "nginx + gunicorn sync, raw WSGI"

    def command(self):
        return [f"{self.venv}/bin/gunicorn", "hello_wsgi:application", "-b", "unix:{socket}", "-w",
                "1", "--log-level", "error", "--no-control-socket"]


class NginxUvicorn(BehindNginx):
    name = "nginx + uvicorn, raw ASGI"
    keepalive = "keepalive 64;"

    def command(self):
        return [f"{self.venv}/bin/uvicorn", "hello_asgi:application", "--uds", "{socket}",
                "--no-access-log", "--loop", "uvloop", "--http", "httptools", "--lifespan", "off",
                "--log-level", "error"]
