"""WSGI requests that do not end in time, one path per way of it.

Each announces `name` when it has begun, and NAME-ended with what ended it.
"""

import time
from urllib.parse import parse_qs

from gates import announce, is_open


def application(environ, start_response):
    query = {k: v[-1] for k, v in parse_qs(environ["QUERY_STRING"]).items()}
    way = WAYS.get(environ["PATH_INFO"])
    if way:
        name = query["name"]
        announce(name)
        try:
            way(name)
        except BaseException as error:
            announce(name + "-ended", by=f"{type(error).__module__}.{type(error).__name__}")
            raise
        announce(name + "-ended", by="itself")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"served"]


def sleep(name):
    time.sleep(600)


def loop(name):
    while True:
        pass


def c_loop(name):
    """Holds the GIL for some seconds; nothing in Python runs meanwhile."""
    begun = time.monotonic()
    while time.monotonic() < begun + 3:
        sum(range(300_000_000))


def deaf(name):
    """Goes on whatever is raised in it, until its gate opens."""
    while not is_open(name):
        try:
            time.sleep(0.01)
        except BaseException as error:
            announce(name + "-heard", by=type(error).__name__)


WAYS = {"/sleep": sleep, "/loop": loop, "/c-loop": c_loop, "/deaf": deaf}
