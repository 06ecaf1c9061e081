"""A WSGI application that remembers what it was asked, to tell what reached it and what did not."""

import json

seen = []


def application(environ, start_response):
    if environ.get("HTTP_X_TELL"):
        body = json.dumps(seen).encode()
        seen.clear()
    else:
        seen.append(environ["REQUEST_METHOD"])
        seen[-1] += f" {len(environ['wsgi.input'].read())}"
        body = b"counted"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
