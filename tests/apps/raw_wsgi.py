"""A WSGI application without a framework: one path per thing that protocol tests need.

Query parameters steer it; `gate` names a gate to stop at (gates.py).
"""

import hashlib
import json
import os
import signal
import sys
import time
from urllib.parse import parse_qs

from gates import announce, pass_gate
from patterns import pieces

HELLO = b"Hello, World!"


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/").split("/")[0] or "hello"
    query = {k: v[-1] for k, v in parse_qs(environ["QUERY_STRING"], keep_blank_values=True).items()}
    handler = HANDLERS.get(name, not_found)
    return handler(environ, start_response, query)


def reply(start_response, body, status="200 OK", kind="text/plain", headers=()):
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body))), *headers])
    return [body]


def reply_json(start_response, value, **more):
    body = json.dumps(value).encode()
    return reply(start_response, body, kind="application/json", **more)


def hello(environ, start_response, query):
    return reply(start_response, HELLO)


def not_found(environ, start_response, query):
    return reply(start_response, b"no such path\n", "404 Not Found")


def environ_(environ, start_response, query):
    """Everything in environ that JSON can say."""
    shown = {k: v for k, v in environ.items() if isinstance(v, (str, bool, int))}
    shown["wsgi.version"] = list(environ["wsgi.version"])
    return reply_json(start_response, shown)


def echo(environ, start_response, query):
    body = environ["wsgi.input"].read()
    return reply(start_response, body, kind=environ.get("CONTENT_TYPE") or "application/octet-stream",
                 headers=[("X-Method", environ["REQUEST_METHOD"])])


def sha256(environ, start_response, query):
    """Reads the body in pieces of `piece` bytes."""
    total, size = hashlib.sha256(), 0
    while data := environ["wsgi.input"].read(int(query.get("piece", 65536))):
        total.update(data)
        size += len(data)
    return reply_json(start_response,
                      {"sha256": total.hexdigest(), "size": size, "pid": os.getpid()})


def lines(environ, start_response, query):
    """readline, readlines and iteration over the body."""
    source = environ["wsgi.input"]
    first = source.readline()
    rest = source.readlines() if "readlines" in query else list(source)
    return reply_json(start_response, [line.decode("latin-1") for line in [first, *rest]])


def unread(environ, start_response, query):
    """Answers without a look at the body."""
    return reply(start_response, b"not read\n")


def pid(environ, start_response, query):
    return reply(start_response, str(os.getpid()).encode())


def gate(environ, start_response, query):
    """Stops before the head."""
    pass_gate(query["name"])
    return reply(start_response, query["name"].encode())


def stream(environ, start_response, query):
    """`count` pieces of `size` bytes without Content-Length; stops before piece `at` if gated."""
    count, size = int(query.get("count", 3)), int(query.get("size", 8))

    def body():
        for index in range(count):
            if "gate" in query and index == int(query.get("at", 1)):
                pass_gate(query["gate"])
            yield (b"%d" % (index % 10)) * size

    start_response("200 OK", [("Content-Type", "text/plain")])
    return body()


def download(environ, start_response, query):
    """`size` patterned bytes; with Content-Length unless `chunked`. Announces `done` at its end."""
    size = int(query["size"])
    headers = [("Content-Type", "application/octet-stream")]
    if "chunked" not in query:
        headers.append(("Content-Length", str(size)))
    start_response("200 OK", headers)

    def body():
        try:
            yield from pieces(size)
        finally:
            if "done" in query:
                announce(query["done"])

    return body()


class Closing:
    """An iterable whose close() is announced."""

    def __init__(self, parts, name):
        self.parts, self.name = parts, name

    def __iter__(self):
        return iter(self.parts)

    def close(self):
        announce(self.name)


def closing(environ, start_response, query):
    start_response("200 OK", [("Content-Type", "text/plain")])
    count = int(query.get("count", 2))
    return Closing((b"x" * 65536 for _ in range(count)), query["name"])


def write(environ, start_response, query):
    writer = start_response("200 OK", [("Content-Type", "text/plain")])
    writer(b"written, ")
    return [b"returned"]


def file(environ, start_response, query):
    """The file `path` through wsgi.file_wrapper."""
    opened = open(query["path"], "rb")
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return environ["wsgi.file_wrapper"](opened, 65536)


def status(environ, start_response, query):
    """An answer with the status in the path, and the body `body` whatever that status allows."""
    code = environ["PATH_INFO"].split("/")[2]
    body = query.get("body", "").encode()
    headers = [("Content-Length", str(len(body)))] if body else []
    start_response(f"{code} Whatever", headers)
    return [body] if body else []


def headers(environ, start_response, query):
    """The fields that the JSON body lists, as they are."""
    fields = json.loads(environ["wsgi.input"].read())
    start_response("200 OK", [(str(n), str(v)) for n, v in fields])
    return [b"ok"]


def cookies(environ, start_response, query):
    return reply(start_response, b"ok", headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])


def fail(environ, start_response, query):
    """Raises: before the head, after start_response, within the body, in close(); or `recovers`."""
    when = query.get("when", "before")
    if when == "before":
        raise RuntimeError("raised before the head")
    start_response("200 OK", [("Content-Type", "text/plain")])
    if when == "started":
        raise RuntimeError("raised after start_response")
    if when == "recovers":
        try:
            raise ValueError("caught")
        except ValueError:
            start_response("500 Recovered", [("Content-Type", "text/plain")], sys.exc_info())
        return [b"recovered"]

    def body():
        yield b"the first part\n"
        raise RuntimeError("raised within the body")

    return body()


def short(environ, start_response, query):
    """Promises more bytes than it gives (`by` > 0), or fewer (`by` < 0)."""
    body = b"x" * 100
    start_response("200 OK", [("Content-Length", str(len(body) + int(query["by"])))])
    return [body]


def kill(environ, start_response, query):
    """The worker dies by SIGKILL: at once, or within the body."""
    if query.get("when") != "body":
        os.kill(os.getpid(), signal.SIGKILL)
    start_response("200 OK", [("Content-Length", "1000000")])

    def body():
        yield b"x" * 1000
        pass_gate(query["gate"])
        os.kill(os.getpid(), signal.SIGKILL)

    return body()


def spin(environ, start_response, query):
    """Python that never returns."""
    announce(query["name"])
    while True:
        pass


def busy(environ, start_response, query):
    """Holds the interpreter for `ms`."""
    end = time.monotonic() + float(query["ms"]) / 1000
    while time.monotonic() < end:
        pass
    return reply(start_response, HELLO)


def sleep(environ, start_response, query):
    """Holds the worker for `ms`, without using it."""
    time.sleep(float(query["ms"]) / 1000)
    return reply(start_response, HELLO)


def output(environ, start_response, query):
    """Writes to standard output, standard error and wsgi.errors."""
    text = query.get("text", "words")
    print("stdout " + text)
    print("stderr " + text, file=sys.stderr)
    environ["wsgi.errors"].write("errors " + text + "\n")
    environ["wsgi.errors"].flush()
    return reply(start_response, b"ok")


def flood(environ, start_response, query):
    """Writes `size` bytes without a line break to standard output, in writes of `piece` bytes."""
    size, piece = int(query["size"]), int(query.get("piece", 0)) or int(query["size"])
    for _ in range(size // piece):
        sys.stdout.write("x" * piece)
    if "end" in query:
        print()
    return reply(start_response, b"ok")


held = []


def descriptors(environ, start_response, query):
    """Opens `/dev/null` until there is no descriptor left; answers how many, with them still open."""
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        count = len(held)
    if "release" in query:
        while held:  # those of earlier requests too
            os.close(held.pop())
    return reply(start_response, str(count).encode())


HANDLERS = {
    "hello": hello, "environ": environ_, "echo": echo, "sha256": sha256, "lines": lines,
    "unread": unread, "pid": pid, "gate": gate, "stream": stream, "download": download,
    "closing": closing, "write": write, "file": file, "status": status, "headers": headers,
    "cookies": cookies, "fail": fail, "short": short, "kill": kill, "spin": spin, "busy": busy,
    "sleep": sleep, "output": output, "descriptors": descriptors,
    "flood": flood,
}
