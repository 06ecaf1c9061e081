"""A WSGI application that takes memory and keeps it."""

from urllib.parse import parse_qs

kept = []


def application(environ, start_response):
    if environ["PATH_INFO"] == "/grow":
        mib = int(parse_qs(environ["QUERY_STRING"])["mib"][0])
        kept.append(bytearray(b"x") * (mib * 1024 * 1024))
    body = environ["wsgi.input"].read() or b"ok"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
