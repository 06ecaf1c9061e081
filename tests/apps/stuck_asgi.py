"""ASGI requests that do not end in time, and streams that take long; see stuck_wsgi.py."""

import asyncio
import time
from urllib.parse import parse_qs

from gates import announce, is_open


async def application(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    query = {k: v[-1] for k, v in parse_qs(scope["query_string"].decode()).items()}
    way = WAYS.get(scope["path"])
    if way:
        announce(query["name"])
        try:
            await way(query["name"], receive, send)
        except BaseException as error:
            announce(query["name"] + "-ended", by=type(error).__name__)
            raise
        announce(query["name"] + "-ended", by="itself")
        if way is events:
            return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})


async def sleep(name, receive, send):
    await asyncio.sleep(600)


async def half(name, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the first half", "more_body": True})
    await asyncio.sleep(600)


async def deaf(name, receive, send):
    """Goes on whatever is raised in it, until its gate opens."""
    while not is_open(name):
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            announce(name + "-heard", by=(await receive())["type"])


async def events(name, receive, send):
    """A stream of server-sent events for three seconds; the last one is `end`."""
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", b"text/event-stream")]})
    end = time.monotonic() + 3
    while time.monotonic() < end:
        await send({"type": "http.response.body", "body": b"data: tick\n\n", "more_body": True})
        await asyncio.sleep(0.02)
    await send({"type": "http.response.body", "body": b"data: end\n\n"})


WAYS = {"/sleep": sleep, "/half": half, "/deaf": deaf, "/events": events}
