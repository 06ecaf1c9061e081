"""Every input of tests/corpus/http1 against a running server, plain and under TLS.

One server takes them all, one connection each: what it answers, that it closes without a reset once
the answer can be read, that a refused request never was the application's, and that the next client is served.
"""

import time

import pytest

from support.http1_corpus import read_corpus
from support.http_client import ConnectionBroken, ProtocolError
from support.waiting import wait_for

LIMITS = {"body": "1MiB"}
TRANSPORTS = ["plain", "tls"]

BOTH = pytest.mark.parametrize("app", ["counted_wsgi:application", "counted_asgi:application"],
                               ids=["wsgi", "asgi"])


def start(saola, app, limits):
    # The larger deadlines are for loaded machines: nothing here waits for them.
    return saola(app, listen=[{}, {"tls": saola.certs.ecdsa.toml()}],
                 config={"limits": {**LIMITS, **limits}})


def what_the_app_saw(server):
    return server.get(headers=[("X-Tell", "1")]).json()


def send(client, data):
    """All of it, or as much as the server takes; a refusal may come while we still send."""
    try:
        client.send(data)
    except (BrokenPipeError, ConnectionResetError) as error:
        raise ConnectionBroken(f"broken while sending: {error}") from error


def read_answers(client, case):
    """Reads what the case promises; asserts its form."""
    for method, target, _ in case.requests:
        answer = client.response(method)
        assert answer.status == 200, f"{method} {target} answered with {answer.status}"
    if case.status:
        answer = client.response()
        assert answer.status == case.status, f"answered with {answer.status}"
        assert answer.get("connection") == "close"
        assert answer.get("x-request-id") in answer.text
        # Our side stays open: the close is the server's own, and no reset overtakes the answer.
        assert client.read_until_closed() == b"", "more than one answer"


def expected_of_the_app(case):
    # `OPTIONS *` is for the server, not for an application.
    return [f"{method} {size}" for method, target, size in case.requests if target != "*"]


def check_seen(seen, case, app):
    begun = [entry for entry in seen if " " not in entry]
    whole = [entry for entry in seen if " " in entry]
    assert whole == expected_of_the_app(case), f"the application saw {seen}"
    # Only an application that reads a body as it comes may have begun one that is refused half-way.
    may_begin = "asgi" in app and b"\r\n\r\n" in case.data and case.status in (400, 408, 413, 431)
    assert not begun or (may_begin and begun == ["POST"]), f"the application saw {seen}"


@BOTH
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_each_input_comes_to_what_its_expect_file_says(saola, app, transport):
    server = start(saola, app, {})
    failures = []
    for case in read_corpus():
        if case.status == 408:
            continue
        try:
            with server.connect(TRANSPORTS.index(transport)) as client:
                send(client, case.data)
                read_answers(client, case)
            check_seen(what_the_app_saw(server), case, app)
        except (AssertionError, ProtocolError, ConnectionBroken, TimeoutError) as error:
            failures.append(f"{case.name} ({case.why}): {error!r}")
    assert not failures, f"{len(failures)} inputs:\n" + "\n".join(failures)


@BOTH
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_inputs_that_stop_in_the_middle_are_408(saola, app, transport):
    server = start(saola, app, {"header_timeout": "1s", "body_timeout": "1s"})
    cases = [case for case in read_corpus() if case.status == 408]
    assert len(cases) >= 8
    clients = []
    try:
        for case in cases:  # side by side: they all wait for the same second
            clients.append(server.connect(TRANSPORTS.index(transport)))
            send(clients[-1], case.data)
        for case, client in zip(cases, clients):
            read_answers(client, case)
    finally:
        for client in clients:
            client.close()
    whole = sorted(entry for entry in what_the_app_saw(server) if " " in entry)
    assert whole == sorted(sum((expected_of_the_app(case) for case in cases), []))


def trickle(client, first, unit):
    """Sends `unit` again and again until the server answers; how long that took."""
    began = time.monotonic()
    client.send(first)
    client.sock.settimeout(0.05)

    def answered():
        try:
            client.send(unit)
            return client._fill()
        except TimeoutError:
            return False

    wait_for(answered, "an answer to an endless request", interval=0)
    client.sock.settimeout(30)
    return time.monotonic() - began


HEAD = b"POST / HTTP/1.1\r\nHost: a.example\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@BOTH
@pytest.mark.parametrize("first, unit", [
    (b"GET /", b"a"),
    (HEAD + b"X-A: ", b"b"),
    (HEAD, b"X-A: b\r\n"),
    (HEAD + b"Content-Length: 100000\r\n\r\n", b"c"),
    (CHUNKED, b"1\r\nd\r\n"),
    (CHUNKED + b"ffff\r\n", b"e"),
    (CHUNKED + b"5;", b"f"),
    (CHUNKED + b"0\r\nX-A: ", b"g"),
], ids=["target", "field", "fields", "body", "chunks", "chunk", "extension", "trailer"])
def test_an_endless_trickle_is_408(saola, app, first, unit):
    server = start(saola, app, {"header_timeout": "1s", "body_timeout": "30s",
                                "body_total_timeout": "1s"})
    with server.connect() as client:
        assert trickle(client, first, unit) < 30
        assert client.response().status == 408
        assert client.read_until_closed() == b""
    assert [entry for entry in what_the_app_saw(server) if " " in entry] == []


@BOTH
def test_the_largest_head_that_can_be_configured_reaches_the_application(saola, app):
    server = start(saola, app, {"request_line": "64KiB", "header_field": "64KiB",
                                "header_bytes": "512KiB", "header_count": 10000})
    line = b"GET /" + b"%41" * 10000 + b"?" + b"q" * 35000 + b" HTTP/1.1\r\n"
    fields = b"Host: a.example\r\nA:" + b"a" * 65534 + b"\r\n"
    fields += b"".join(b"N%d:%s\r\n" % (n, b"v" * 60000) for n in range(7))
    fields += b"".join(b"M%d:\r\n" % n for n in range(2000))
    with server.connect() as client:
        client.send(line + fields + b"\r\n")
        assert client.response().status == 200
    assert what_the_app_saw(server) == ["GET 0"]


def test_an_input_cut_anywhere_by_the_client_harms_nobody(saola):
    """Clients that leave after each byte of a request with a chunked body and trailers."""
    server = start(saola, "counted_wsgi:application", {})
    data = CHUNKED + b"5;x=y\r\nhello\r\n0\r\nX-A: b\r\n\r\n"
    for size in range(len(data)):
        with server.connect() as client:
            client.send(data[:size])
            if size % 2:
                client.reset()
    assert what_the_app_saw(server) == []
    with server.connect() as client:
        client.send(data)
        assert client.response("POST").status == 200
