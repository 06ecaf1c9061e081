"""gunicorn's server hooks: which run, where, in which order, and what their failures cost."""

import signal

import pytest

from support.waiting import wait_for

# An application of each kind, in a module that notes its import; /fail raises, /sleep and /spin hang.
WSGI = """
import time
from notes import note
note("import")

def application(environ, start_response):
    path = environ["PATH_INFO"]
    note("request", path)
    if path == "/fail": raise ValueError("of the application")
    if path == "/sleep": time.sleep(600)
    while path == "/spin": pass
    start_response("201 Created", [("Content-Type", "text/plain")])
    return [b"answer"]
"""
ASGI = """
import time
from notes import note
note("import")

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            note(kind)
            await send({"type": kind + ".complete"})
            if kind == "lifespan.shutdown": return
    path = scope["path"]
    note("request", path)
    if path == "/fail": raise ValueError("of the application")
    if path == "/sleep": time.sleep(600)
    while path == "/spin": pass
    await send({"type": "http.response.start", "status": 201, "headers": []})
    await send({"type": "http.response.body", "body": b"answer"})
"""
NOTES = """
import os
def note(*words):
    with open("notes", "a") as file:
        file.write(" ".join(map(str, (os.getpid(), *words))) + "\\n")
"""
ALL = """
from notes import note
def pre_fork(server, worker): note("pre_fork")
def post_fork(server, worker):
    note("post_fork", worker.age > 0, worker.booted)
    worker.log.info("worker %s of server %d begins", worker.age, server.pid)
def post_worker_init(worker): note("post_worker_init", callable(worker.wsgi), worker.cfg.threads)
def pre_request(worker, req):
    req.begun = 7
    headers = dict(req.headers)
    note("pre_request", worker.nr, req.method, req.uri, req.path, req.version, headers["X-ONE"],
         req.remote_addr, req.scheme, bool(req.request_id))
def post_request(worker, req, environ, resp):
    note("post_request", req.begun, resp.status_code, resp.status, resp.sent,
         environ.get("PATH_INFO", environ.get("path")))
def worker_exit(server, worker): note("worker_exit", worker.alive)
def child_exit(server, worker): note("child_exit")
"""


class App:
    """An application with hooks, in a directory of its own."""

    def __init__(self, factory, kind, hooks, **app):
        self.directory = factory.directory()
        for name, text in {"main": {"wsgi": WSGI, "asgi": ASGI}[kind], "notes": NOTES,
                           "hooks_module": hooks}.items():
            self.write(name, text)
        self.config = {"app": {"directory": self.directory, "hooks": "hooks_module"} | app}

    def write(self, name, text):
        with open(f"{self.directory}/{name}.py", "w") as file:
            file.write(text)

    def notes(self):
        """[what was noted], without the process id, which all must share."""
        try:
            with open(f"{self.directory}/notes") as file:
                lines = [line.rstrip("\n").split(" ", 1) for line in file]
        except FileNotFoundError:
            return []
        assert len({pid for pid, _ in lines}) <= 1
        return [words for _, words in lines]


@pytest.fixture(params=["wsgi", "asgi"])
def kind(request):
    return request.param


def test_each_hook_runs_in_its_place(saola, kind):
    app = App(saola, kind, ALL)
    server = saola("main:application", config=app.config)
    answer = server.get("/a%20b?q=1", headers=[("X-One", "1")])
    assert answer.status == 201 and answer.body == b"answer"
    server.stop()
    lifespan = kind == "asgi"
    assert app.notes() == [
        "pre_fork", "post_fork True False", "import",
        *(["lifespan.startup"] if lifespan else []),
        "post_worker_init True 1",
        "pre_request 1 GET /a%20b?q=1 /a b (1, 1) 1 127.0.0.1 https True",
        "request /a b",
        "post_request 7 201 201 Created 6 /a b",
        *(["lifespan.shutdown"] if lifespan else []),
        "worker_exit False", "child_exit",
    ]
    assert f"of server {server.pid} begins" in server.log()


@pytest.mark.parametrize("arguments", ["worker, req", "worker, req, environ",
                                       "worker, req, environ, resp", "*args"])
def test_post_request_gets_as_many_arguments_as_it_takes(saola, kind, arguments):
    app = App(saola, kind, f"""
from notes import note
def post_request({arguments}): note(len(locals()) if "args" not in locals() else len(args))
""")
    server = saola("main:application", config=app.config)
    assert server.get("/").status == 201
    server.stop()
    assert str(4 if arguments == "*args" else arguments.count(",") + 1) in app.notes()


def test_post_request_sees_the_500_of_a_failed_application(saola, kind):
    app = App(saola, kind, """
from notes import note
def post_request(worker, req, environ, resp): note(resp.status)
""")
    server = saola("main:application", config=app.config)
    assert server.get("/fail").status == 500
    server.stop()
    assert "500 Internal Server Error" in app.notes()


def test_hooks_that_never_run_are_named(saola):
    app = App(saola, "wsgi", """
def on_starting(server): raise SystemExit
def on_exit(server): pass
def helper(): pass
when_ready = None
""")
    server = saola("main:application", config=app.config)
    assert server.get("/").status == 201
    log = server.log()
    assert "warning" in log and "the hook on_starting never runs: " in log
    assert "the hook on_exit never runs: " in log
    assert "when_ready" not in log and "helper" not in log


@pytest.mark.parametrize("hooks, words", [
    ("def post_fork(server, worker): raise OSError('no database')", "OSError: no database"),
    ("def post_worker_init(worker): raise OSError('no tracer')", "OSError: no tracer"),
    ("def pre_fork(server, worker): raise SystemExit(7)", "SystemExit: 7"),
    ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
    ("async def post_fork(server, worker): pass", "post_fork is a coroutine function"),
    ("def post_fork(worker): pass", "post_fork must take 2 arguments"),
    ("def post_request(): pass", "post_request must take 2 or 3 or 4 arguments"),
    ("worker_exit = 3", "worker_exit is no function: 3"),
], ids=["post_fork", "post_worker_init", "exit", "import", "coroutine", "arguments", "several",
        "number"])
def test_a_hook_that_cannot_do_its_work_fails_the_boot(saola, kind, hooks, words):
    app = App(saola, kind, hooks)
    server = saola("main:application", config=app.config, wait=False)
    server.expected_exit = 3
    server.wait_exit()
    assert words in server.log()


def test_worker_exit_runs_after_a_boot_that_failed(saola):
    app = App(saola, "wsgi", ALL)
    app.write("main", "raise ValueError('of the import')")
    server = saola("main:application", config=app.config, wait=False)
    server.expected_exit = 3
    server.wait_exit()
    assert app.notes() == ["pre_fork", "post_fork True False", "worker_exit False", "child_exit"]


def test_other_hooks_that_raise_disturb_nothing(saola, kind):
    app = App(saola, kind, """
def pre_request(worker, req): raise KeyError("before")
def post_request(worker, req, environ, resp): raise SystemExit("after")
def worker_exit(server, worker): raise KeyError("at the end")
""")
    server = saola("main:application", config=app.config)
    with server.connect() as client:
        answer = client.exchange(target="/", headers=[("X-Request-Id", "one-of-two")])
        assert answer.status == 201 and answer.body == b"answer"
        assert client.exchange(target="/").status == 201
    server.stop()
    log = server.log()
    assert "request=one-of-two: the hook pre_request raised" in log
    assert "KeyError: 'before'" in log and "SystemExit: after" in log
    assert "KeyError: 'at the end'" in log


@pytest.mark.parametrize("path", ["/sleep", "/spin"])
def test_worker_abort_runs_whatever_the_application_does(saola, kind, path):
    app = App(saola, kind, """
import sys, traceback
from notes import note
def worker_abort(worker):
    for frame in sys._current_frames().values():
        for line in traceback.extract_stack(frame):
            if line.name == "application": note("stuck in", line.name)
""")
    server = saola("main:application", config=app.config)
    with server.connect() as client:
        client.request(target=path)
        wait_for(lambda: f"request {path}" in app.notes(), "the application to hang")
        server.send_signal(signal.SIGTERM)
        server.wait_log("SIGTERM")
        server.stop(signal.SIGTERM)  # the second one: at once
    assert "stuck in application" in app.notes()


def test_without_hooks_none_run(saola, kind):
    app = App(saola, kind, ALL)
    del app.config["app"]["hooks"]
    server = saola("main:application", config=app.config)
    assert server.get("/").status == 201
    server.stop()
    assert not any("fork" in note or "pre_" in note for note in app.notes())


def test_check_imports_the_hooks_too(saola):
    app = App(saola, "wsgi", "def post_fork(worker): pass")
    config = f"{app.directory}/saola.toml"
    with open(config, "w") as file:
        file.write("[app]\ntarget = 'main:application'\nhooks = 'hooks_module'\n")
    server = saola(arguments=["check", "--import", "-c", config], wait=False, listen=[])
    server.expected_exit = 3
    server.wait_exit()
    assert "post_fork must take 2 arguments" in server.log()
