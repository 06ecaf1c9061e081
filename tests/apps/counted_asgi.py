"""The same as counted_wsgi. A request whose body breaks off stays in the list with its method alone."""

import json

seen = []


async def application(scope, receive, send):
    assert scope["type"] == "http"
    if any(name == b"x-tell" for name, _ in scope["headers"]):
        body = json.dumps(seen).encode()
        seen.clear()
    else:
        index, size, more = len(seen), 0, True
        seen.append(scope["method"])
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message["body"])
            more = message["more_body"]
        seen[index] += f" {size}"
        body = b"counted"
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", b"text/plain"),
                            (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
