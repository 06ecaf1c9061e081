"""Applications whose worker, once told, does its worst to edge and supervisor: /scribble overwrites
all memory that it shares with them, /nonsense sends random bytes through every socket that it has."""

import ctypes
import os
import re
import socket
import threading

MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-s .*/memfd:saola-")


def shared_memory():
    """(address, size) of each mapping."""
    with open("/proc/self/maps") as maps:
        found = [MAPPING.match(line) for line in maps]
    return [(int(m[1], 16), int(m[2], 16) - int(m[1], 16)) for m in found if m]


def scribble(places):
    while True:
        for address, size in places:
            ctypes.memmove(address, os.urandom(size), size)


def sockets():
    """Descriptors of the connections to the edge and to the supervisor."""
    found = [int(name) for name in os.listdir("/proc/self/fd")]
    return [fd for fd in found if os.path.exists(f"/proc/self/fd/{fd}")
            and os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")]


def send_nonsense(descriptors):
    ends = [socket.socket(fileno=os.dup(fd)) for fd in descriptors]
    null = os.open("/dev/null", os.O_RDONLY)
    while True:
        for end in ends:
            for passed in ([], [null, null]):
                try:
                    socket.send_fds(end, [os.urandom(300)], passed)
                except OSError:
                    pass  # full, or closed


def answer(path):
    if path == "/nonsense":
        targets = sockets()
        threading.Thread(target=send_nonsense, args=(targets,), daemon=True).start()
        return b"%d %d" % (os.getpid(), len(targets))
    if path != "/scribble":
        return str(os.getpid()).encode()
    places = shared_memory()
    threading.Thread(target=scribble, args=(places,), daemon=True).start()
    return b"%d %d" % (os.getpid(), len(places))


def wsgi(environ, start_response):
    body = answer(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError("no lifespan")
    body = answer(scope["path"])
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
