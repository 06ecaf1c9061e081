"""A WSGI application that prints what it should not: the whole request, secrets included."""

import sys


def application(environ, start_response):
    shown = {k: v for k, v in environ.items() if isinstance(v, str)}
    print(shown)
    print("Authorization: " + environ.get("HTTP_AUTHORIZATION", "-"), file=sys.stderr)
    print(f"{environ['REQUEST_METHOD']} {environ['RAW_URI']} failed: see {environ['RAW_URI']}")
    print("all of it is printed")
    body = b"printed"
    start_response("200 OK", [("Content-Length", str(len(body))), ("Set-Cookie", "sid=c2VjcmV0")])
    return [body]
