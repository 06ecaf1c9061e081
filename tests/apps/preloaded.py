"""Applications that write down who imports them; what tests/integration/test_preload.py asks of them."""

import atexit
import json
import os
import random
import threading
from pathlib import Path

from gates import announce, is_open, pass_gate

GATES = Path(os.environ["GATES"])
IMPORTED_BY = os.getpid()


def note(name, value):
    """One line more in a file that all processes share."""
    with open(GATES / name, "a") as file:
        file.write(f"{value}\n")


note("imports", IMPORTED_BY)
print("hello from the import")
if is_open("import-fails"):
    raise ImportError("the import gate says no")
if is_open("import-hangs"):
    announce("hanging")
    pass_gate("import")
if is_open("import-starts-a-thread"):
    threading.Thread(target=threading.Event().wait, name="early bird", daemon=True).start()
atexit.register(lambda: note("exits", os.getpid()))


def post_fork(server, worker):
    note("post_fork", os.getpid())


def facts():
    return json.dumps({"pid": os.getpid(), "imported_by": IMPORTED_BY, "random": random.random(),
                       "threads": [t.name for t in threading.enumerate()],
                       "parent": os.getppid(), "group": os.getpgid(0)}).encode()


def application(environ, start_response):
    if environ["PATH_INFO"] == "/wait":
        pass_gate("request")
    if environ["PATH_INFO"] == "/print":
        print("hello from a request")
    echo = environ["PATH_INFO"] == "/echo"
    body = environ["wsgi.input"].read() if echo else facts()
    start_response("200 OK", [("Content-Type", "application/json"),
                              ("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            note(message["type"], os.getpid())
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = facts()
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
