"""gunicorn's server hooks (backend/hooks.h): which of a module's are there, and how they are called.

emit(level, text) comes from C++; level is a number as in the logging module.
"""
import importlib
import inspect
import os
import sys
import traceback
import types
from http.client import responses as REASONS

# Hook -> numbers of positional arguments that it may take, the most first.
RUN_HERE = {
    "pre_fork": (2,),
    "post_fork": (2,),
    "post_worker_init": (1,),
    "pre_request": (2,),
    "post_request": (4, 3, 2),
    "worker_abort": (1,),
    "worker_exit": (2,),
    "child_exit": (2,),
}
# Hooks of gunicorn's master and of workers that Saola does not have, and what takes their place.
NEVER_RUN = {
    "on_starting": "the supervisor runs no Python; do it before saola starts, or per worker in post_fork",
    "when_ready": "the supervisor runs no Python; post_worker_init runs in each worker that is ready",
    "on_reload": "the supervisor runs no Python; a reload starts new workers, which run post_fork",
    "on_exit": "the supervisor runs no Python; do it after saola has ended, or per worker in worker_exit",
    "nworkers_changed": "the supervisor runs no Python",
    "pre_exec": "the supervisor runs no Python",
    "worker_int": "workers take no signals from terminals; worker_exit runs when one has drained",
    "ssl_context": "TLS is the edge's: see [[listen]] tls",
    "on_dirty_starting": "there are no dirty workers",
    "dirty_post_fork": "there are no dirty workers",
    "dirty_worker_init": "there are no dirty workers",
    "dirty_worker_exit": "there are no dirty workers",
}


def accepted(function, counts):
    """The first of `counts` that the function can be called with; None if there is none."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return counts[0]  # built in: it has no signature to look at
    for count in counts:
        try:
            signature.bind(*range(count))
        except TypeError:
            continue
        return count
    return None


def find(module_name):
    """-> ({hook: (function, number of arguments)}, [hooks that never run], problem or "")"""
    module = importlib.import_module(module_name)
    found = {}
    for name, counts in RUN_HERE.items():
        function = getattr(module, name, None)
        if function is None:
            continue
        if not callable(function):
            return {}, [], f"{name} is no function: {function!r}"
        if inspect.iscoroutinefunction(function):
            return {}, [], f"{name} is a coroutine function; hooks are called, not awaited"
        count = accepted(function, counts)
        if count is None:
            return {}, [], f"{name} must take {' or '.join(map(str, sorted(counts)))} arguments"
        found[name] = function, count
    never = [name for name in NEVER_RUN if callable(getattr(module, name, None))]
    return found, never, ""


class Log:
    """What hooks use of gunicorn's logger, and of logging.Logger."""

    def __init__(self, emit):
        self._emit = emit

    def log(self, level, message, *args, exc_info=None, **_):
        text = str(message)
        if args:
            text %= args[0] if len(args) == 1 and isinstance(args[0], dict) and args[0] else args
        if exc_info:
            error = exc_info if isinstance(exc_info, BaseException) else sys.exc_info()[1]
            if error is not None:
                text += "\n" + "".join(traceback.format_exception(error)).rstrip("\n")
        self._emit(level, text)

    def debug(self, message, *args, **options):
        self.log(10, message, *args, **options)

    def info(self, message, *args, **options):
        self.log(20, message, *args, **options)

    def warning(self, message, *args, **options):
        self.log(30, message, *args, **options)

    warn = warning

    def error(self, message, *args, **options):
        self.log(40, message, *args, **options)

    def critical(self, message, *args, **options):
        self.log(50, message, *args, **options)

    def exception(self, message, *args, exc_info=True, **options):
        self.log(40, message, *args, exc_info=exc_info, **options)


class Server:
    """What stands for gunicorn's master. The supervisor is another process: nothing here changes it."""

    def __init__(self, log, cfg):
        self.pid = os.getppid()
        self.log = log
        self.cfg = cfg

    def __getattr__(self, name):
        raise AttributeError(f"Saola's server object has no {name!r}; docs/hooks.md says what it has")


class Worker:
    def __init__(self, log, cfg, age):
        self.pid = os.getpid()
        self.ppid = os.getppid()
        self.age = age
        self.log = log
        self.cfg = cfg
        self.nr = 0  # requests begun
        self.alive = True
        self.booted = False
        self.wsgi = None  # the application, from post_worker_init on

    def __str__(self):
        return f"<Worker {self.pid}>"

    def __getattr__(self, name):
        raise AttributeError(f"Saola's worker object has no {name!r}; docs/hooks.md says what it has")


class Request:
    """Hooks may put attributes of their own on it: pre_request a start time, say."""

    def __init__(self, method, uri, path, query, version, headers, scheme, remote_addr, request_id):
        self.method = method
        self.uri = uri
        self.path = path
        self.query = query
        self.version = version
        self.headers = headers
        self.scheme = scheme
        self.remote_addr = remote_addr
        self.request_id = request_id
        self.environ = None


class Response:
    """status is the line's text ("200 OK"); None, as status_code, if no head was sent."""

    __slots__ = ("status", "status_code", "sent")

    def __init__(self, code, reason, sent):
        self.status_code = code or None
        self.status = f"{code} {reason or REASONS.get(code, '')}".rstrip() if code else None
        self.sent = sent  # bytes of body


class Runner:
    """The hooks of one worker. What boot() and ready() raise fails the boot; the others log it."""

    def __init__(self, found, never, emit, age, facts):
        self._found = found
        self._log = Log(emit)
        cfg = types.SimpleNamespace(**facts)
        self._server = Server(self._log, cfg)
        self._worker = Worker(self._log, cfg, age)
        for name in never:
            self._log.warning("the hook %s never runs: %s", name, NEVER_RUN[name])
        self._pre_request = self._function("pre_request")
        self._post_request = self._function("post_request")

    def _function(self, name):
        return self._found[name][0] if name in self._found else None

    def _guarded(self, name, *args):
        function = self._function(name)
        if function is None:
            return
        try:
            function(*args)
        except BaseException as error:  # also SystemExit: the worker's end is not a hook's to choose
            self._log.exception("the hook %s raised", name, exc_info=error)

    def wants(self, name):
        return name in self._found

    def boot(self):
        for name in ("pre_fork", "post_fork"):
            function = self._function(name)
            if function is not None:
                function(self._server, self._worker)

    def ready(self, application):
        self._worker.wsgi = application
        self._worker.booted = True
        function = self._function("post_worker_init")
        if function is not None:
            function(self._worker)

    def abort(self):
        self._guarded("worker_abort", self._worker)

    def exit(self):
        self._worker.alive = False
        self._guarded("worker_exit", self._server, self._worker)
        self._guarded("child_exit", self._server, self._worker)

    def begin(self, environ, *facts):
        self._worker.nr += 1
        request = Request(*facts)
        request.environ = environ
        if self._pre_request is not None:
            self._guarded("pre_request", self._worker, request)
        return request

    def end(self, request, code, reason, sent):
        if self._post_request is None:
            return
        args = self._worker, request, request.environ, Response(code, reason, sent)
        self._guarded("post_request", *args[:self._found["post_request"][1]])
