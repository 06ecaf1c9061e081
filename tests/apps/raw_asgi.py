"""An ASGI application without a framework: one path per thing that protocol tests need.

Query parameters steer it; `gate` names a gate to stop at (gates.py).
"""

import hashlib
import json
import os
import signal
import time
from urllib.parse import parse_qs

from gates import announce, pass_gate_async
from patterns import pieces

HELLO = b"Hello, World!"


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(scope, receive, send)
    path = scope["path"].removeprefix(scope["root_path"])
    name = path.strip("/").split("/")[0] or "hello"
    query = {k: v[-1] for k, v in
             parse_qs(scope["query_string"].decode(), keep_blank_values=True).items()}
    await HANDLERS.get(name, not_found)(scope, receive, send, query)


async def lifespan(scope, receive, send):
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            if os.environ.get("FAIL_STARTUP"):
                await send({"type": "lifespan.startup.failed", "message": "the cupboard is bare"})
                return
            scope["state"]["started"] = "by lifespan"
            await send({"type": "lifespan.startup.complete"})
        else:
            announce("lifespan-shutdown")
            await send({"type": "lifespan.shutdown.complete"})
            return


async def start(send, status=200, headers=()):
    await send({"type": "http.response.start", "status": status,
                "headers": [(n.encode("latin-1"), v.encode("latin-1")) for n, v in headers]})


async def part(send, data, more=True):
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def reply(send, body, status=200, kind="text/plain", headers=()):
    await start(send, status, [("content-type", kind), ("content-length", str(len(body))), *headers])
    await part(send, body, False)


async def reply_json(send, value, **more):
    await reply(send, json.dumps(value).encode(), kind="application/json", **more)


async def read(receive):
    """The body's pieces; raises ConnectionError if the client is gone."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("disconnected")
        more = message.get("more_body", False)
        if message.get("body"):
            yield message["body"]


async def hello(scope, receive, send, query):
    await reply(send, HELLO)


async def not_found(scope, receive, send, query):
    await reply(send, b"no such path\n", 404)


async def scope_(scope, receive, send, query):
    """The scope as JSON; bytes as latin-1."""
    def plain(value):
        if isinstance(value, bytes):
            return value.decode("latin-1")
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        if isinstance(value, dict):
            return {str(k): plain(v) for k, v in value.items()}
        return value
    await reply_json(send, plain({k: v for k, v in scope.items() if k != "app"}))


async def echo(scope, receive, send, query):
    body = b"".join([piece async for piece in read(receive)])
    await reply(send, body, headers=[("x-method", scope["method"])])


async def mirror(scope, receive, send, query):
    """Sends each piece back as it comes: both directions at once."""
    await start(send)
    async for piece in read(receive):
        await part(send, piece)
    await part(send, b"", False)


async def sha256(scope, receive, send, query):
    total, size, parts = hashlib.sha256(), 0, 0
    async for piece in read(receive):
        total.update(piece)
        size += len(piece)
        parts += 1
    await reply_json(send, {"sha256": total.hexdigest(), "size": size, "parts": parts,
                            "pid": os.getpid()})


async def first_part(scope, receive, send, query):
    """Announces the first piece of the body, then reads on."""
    pieces_ = read(receive)
    first = await pieces_.__anext__()
    announce(query["name"], size=len(first))
    rest = [piece async for piece in pieces_]
    await reply(send, str(len(first) + sum(map(len, rest))).encode())


async def unread(scope, receive, send, query):
    await reply(send, b"not read\n")


async def pid(scope, receive, send, query):
    await reply(send, str(os.getpid()).encode())


async def gate(scope, receive, send, query):
    await pass_gate_async(query["name"])
    await reply(send, query["name"].encode())


async def stream(scope, receive, send, query):
    count, size = int(query.get("count", 3)), int(query.get("size", 8))
    await start(send, headers=[("content-type", "text/plain")])
    for index in range(count):
        if "gate" in query and index == int(query.get("at", 1)):
            await pass_gate_async(query["gate"])
        await part(send, (b"%d" % (index % 10)) * size)
    await part(send, b"", False)


async def download(scope, receive, send, query):
    size = int(query["size"])
    headers = [("content-type", "application/octet-stream")]
    if "chunked" not in query:
        headers.append(("content-length", str(size)))
    await start(send, headers=headers)
    sent = 0
    for piece in pieces(size):
        await part(send, piece)
        sent += len(piece)
        if "progress" in query:
            announce(query["progress"], sent=sent)
    await part(send, b"", False)


async def disconnect(scope, receive, send, query):
    """Records http.disconnect: after the body (`when=body`), or after the head was sent (`when=head`)."""
    if query.get("when") == "head":
        await start(send, headers=[("content-type", "text/plain")])
        await part(send, b"the first part")
    announce(query["name"])
    while (message := await receive())["type"] != "http.disconnect":
        pass
    announce(query["name"] + "-gone")
    if query.get("when") == "head":
        await part(send, b"nobody reads this", False)


async def status(scope, receive, send, query):
    body = query.get("body", "").encode()
    await start(send, int(scope["path"].split("/")[2]),
                [("content-length", str(len(body)))] if body else [])
    await part(send, body, False)


async def headers(scope, receive, send, query):
    fields = json.loads(b"".join([piece async for piece in read(receive)]))
    await start(send, headers=[(str(n), str(v)) for n, v in fields])
    await part(send, b"ok", False)


async def cookies(scope, receive, send, query):
    await reply(send, b"ok", headers=[("set-cookie", "a=1"), ("set-cookie", "b=2")])


async def fail(scope, receive, send, query):
    when = query.get("when", "before")
    if when == "before":
        raise RuntimeError("raised before the head")
    await start(send, headers=[("content-type", "text/plain")])
    if when == "started":
        raise RuntimeError("raised after the head")
    await part(send, b"the first part\n")
    if when == "returns":
        return
    raise RuntimeError("raised within the body")


async def silent(scope, receive, send, query):
    """Returns without an answer."""


async def short(scope, receive, send, query):
    body = b"x" * 100
    await start(send, headers=[("content-length", str(len(body) + int(query["by"])))])
    await part(send, body, False)


async def kill(scope, receive, send, query):
    if query.get("when") == "body":
        await start(send, headers=[("content-length", "1000000")])
        await part(send, b"x" * 1000)
        await pass_gate_async(query["gate"])
    os.kill(os.getpid(), signal.SIGKILL)


async def spin(scope, receive, send, query):
    announce(query["name"])
    while True:
        pass


async def busy(scope, receive, send, query):
    end = time.monotonic() + float(query["ms"]) / 1000
    while time.monotonic() < end:
        pass
    await reply(send, HELLO)


async def trailers(scope, receive, send, query):
    """Trailers of the answer, where the server offers the extension."""
    if "http.response.trailers" not in scope.get("extensions", {}):
        return await reply(send, b"no extension", 501)
    await send({"type": "http.response.start", "status": 200, "trailers": True,
                "headers": [(b"trailer", b"x-sum")]})
    await part(send, b"body", False)
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"4")],
                "more_trailers": False})


HANDLERS = {
    "hello": hello, "scope": scope_, "echo": echo, "mirror": mirror, "sha256": sha256,
    "first_part": first_part, "unread": unread, "pid": pid, "gate": gate, "stream": stream,
    "download": download, "disconnect": disconnect, "status": status, "headers": headers,
    "cookies": cookies, "fail": fail, "silent": silent, "short": short, "kill": kill, "spin": spin,
    "busy": busy, "trailers": trailers,
}
