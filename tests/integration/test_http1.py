"""HTTP/1.1 as clients meet it: persistence, framing of bodies both ways, methods and targets.

Each test runs against the WSGI and the ASGI application; both have the same paths.
"""

import pytest

from support.http_client import ConnectionBroken

BOTH = pytest.mark.parametrize("app", ["raw_wsgi:application", "raw_asgi:application"],
                               ids=["wsgi", "asgi"])


@BOTH
def test_a_connection_serves_many_requests(saola, app):
    server = saola(app)
    with server.connect() as client:
        for number in range(50):
            body = f"request {number}".encode()
            assert client.exchange("POST", "/echo", body=body).body == body


@BOTH
def test_connection_close_is_honoured(saola, app):
    server = saola(app)
    with server.connect() as client:
        answer = client.exchange(headers=[("Connection", "close")])
        assert answer.status == 200 and answer.get("connection") == "close"
        assert client.is_closed()


@BOTH
def test_pipelined_requests_are_answered_in_order(saola, app):
    server = saola(app, config={"app": {"threads": 4} if "wsgi" in app else {}})
    with server.connect() as client:
        for number in range(100):
            client.request("POST", "/echo", body=f"number {number}".encode())
        for number in range(100):
            assert client.response("POST").body == f"number {number}".encode()


@BOTH
def test_a_slow_first_request_holds_back_the_answers_after_it(saola, app):
    server = saola(app, config={"app": {"threads": 2} if "wsgi" in app else {}})
    with server.connect() as client:
        client.request(target="/gate?name=first")
        client.request(target="/pid")
        server.wait_gate("first")
        server.open_gate("first")
        assert client.response().body == b"first"
        assert int(client.response().body) in server.workers()


@BOTH
def test_requests_in_one_segment_with_a_body_between(saola, app):
    server = saola(app)
    with server.connect() as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
                    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
                    b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                    b"2\r\nde\r\n0\r\n\r\nGET /pid HTTP/1.1\r\nHost: localhost\r\n\r\n")
        bodies = [client.response().body for _ in range(4)]
        assert bodies[:3] == [b"abc", b"Hello, World!", b"de"] and bodies[3].isdigit()


@BOTH
def test_a_head_may_come_byte_by_byte(saola, app):
    server = saola(app)
    with server.connect() as client:
        for byte in b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nok":
            client.send(bytes([byte]))
        assert client.response().body == b"ok"


@BOTH
def test_chunked_request_body(saola, app):
    server = saola(app)
    with server.connect() as client:
        client.request("POST", "/echo", [("Transfer-Encoding", "chunked")],
                       b"5\r\nhello\r\n1;name=value\r\n \r\nA\r\n0123456789\r\n0\r\n\r\n")
        assert client.response().body == b"hello 0123456789"
        assert client.exchange().status == 200


@BOTH
def test_trailers_of_a_request_do_not_disturb_the_next(saola, app):
    server = saola(app)
    with server.connect() as client:
        client.request("POST", "/echo", [("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")],
                       b"3\r\nabc\r\n0\r\nX-Sum: 6\r\nX-More: yes\r\n\r\n")
        assert client.response().body == b"abc"
        assert client.exchange().status == 200


@BOTH
def test_an_answer_without_length_is_chunked(saola, app):
    server = saola(app)
    with server.connect() as client:
        answer = client.exchange(target="/stream?count=5&size=3")
        assert answer.body == b"000111222333444"
        assert answer.get("transfer-encoding") == "chunked"
        assert client.exchange().status == 200


@BOTH
def test_a_streamed_answer_arrives_as_it_is_made(saola, app):
    server = saola(app)
    with server.connect() as client:
        client.request(target="/stream?count=2&size=4&gate=half&at=1")
        head = client.head()
        assert head.status == 200
        server.wait_gate("half")
        assert client.read_exactly(9) == b"4\r\n0000\r\n"  # while the app waits
        server.open_gate("half")
        assert client.read_exactly(14) == b"4\r\n1111\r\n0\r\n\r\n"


def test_trailers_of_an_answer(saola):
    server = saola("raw_asgi:application")
    with server.connect() as client:
        answer = client.exchange(target="/trailers", headers=[("TE", "trailers")])
        if answer.status == 501:
            pytest.skip("http.response.trailers is not offered")
        assert answer.body == b"body" and answer.trailers == [("x-sum", "4")]
        assert client.exchange().status == 200


@BOTH
def test_expect_continue_is_answered_before_the_body(saola, app):
    server = saola(app)
    with server.connect() as client:
        client.request("POST", "/echo", [("Expect", "100-continue"), ("Content-Length", "4")])
        interim = client.head()
        assert interim.status == 100
        client.send(b"body")
        assert client.response().body == b"body"
        assert client.exchange().status == 200


@BOTH
def test_no_100_when_the_body_is_already_here(saola, app):
    server = saola(app)
    with server.connect() as client:
        client.request("POST", "/echo", [("Expect", "100-continue")], body=b"body")
        answer = client.response()
        assert answer.body == b"body" and answer.interim in ([], [100])


@BOTH
def test_an_unknown_expectation_is_417(saola, app):
    server = saola(app)
    assert server.get(headers=[("Expect", "a-miracle")]).status == 417


@BOTH
def test_head_has_the_length_and_no_body(saola, app):
    server = saola(app)
    with server.connect() as client:
        answer = client.exchange("HEAD", "/")
        assert answer.status == 200 and answer.get("content-length") == "13" and not answer.body
        streamed = client.exchange("HEAD", "/stream?count=3")
        assert streamed.status == 200 and not streamed.body
        assert client.exchange("GET", "/").body == b"Hello, World!"


@BOTH
@pytest.mark.parametrize("code", [204, 304])
def test_a_status_without_body_has_none_even_if_the_app_sends_one(saola, app, code):
    server = saola(app)
    with server.connect() as client:
        answer = client.exchange(target=f"/status/{code}?body=unwanted")
        assert answer.status == code and answer.body == b""
        assert client.exchange(target="/").body == b"Hello, World!"


@BOTH
def test_http_1_0_closes(saola, app):
    server = saola(app)
    with server.connect() as client:
        answer = client.exchange(version="HTTP/1.0")
        assert answer.body == b"Hello, World!" and client.is_closed()


@BOTH
def test_http_1_0_keep_alive(saola, app):
    server = saola(app)
    with server.connect() as client:
        for _ in range(3):
            answer = client.exchange(version="HTTP/1.0", headers=[("Connection", "keep-alive")])
            assert answer.body == b"Hello, World!"
            assert answer.get("connection", "").lower() == "keep-alive"


@BOTH
def test_http_1_0_never_gets_chunks(saola, app):
    server = saola(app)
    with server.connect() as client:
        client.request(target="/stream?count=3&size=2", version="HTTP/1.0",
                       headers=[("Connection", "keep-alive")])
        head = client.head()
        assert head.get("transfer-encoding") is None
        assert client.read_until_closed() == b"001122"


@BOTH
def test_absolute_form(saola, app):
    server = saola(app)
    with server.connect() as client:
        target = "https://localhost:8443/pid"
        assert client.exchange(target=target, host="localhost:8443").body.isdigit()
        assert client.exchange(target=target, host="other.example").status == 400


@BOTH
def test_options_asterisk(saola, app):
    server = saola(app)
    with server.connect() as client:
        assert client.exchange("OPTIONS", "*").status in (200, 204)
        assert client.exchange().status == 200


@BOTH
@pytest.mark.parametrize("request_line", ["CONNECT localhost:443", "TRACE /"])
def test_connect_and_trace_are_refused(saola, app, request_line):
    server = saola(app)
    method, target = request_line.split()
    answer = server.exchange(method, target)
    assert answer.status in (400, 405, 501)
    assert "GATES" not in answer.text


@BOTH
def test_dates_server_and_hop_by_hop_fields(saola, app):
    server = saola(app)
    sent = ('[["Connection", "x-private"], ["X-Private", "1"], ["Keep-Alive", "timeout=5"],'
            ' ["X-Public", "2"]]').encode()
    with server.connect() as client:
        answer = client.exchange("POST", "/headers", body=sent)
        if answer.status == 200:  # WSGI forbids apps to send hop-by-hop fields: 500 is right too
            assert answer.get("keep-alive") is None
            assert answer.get("x-public") == "2"
        else:
            assert answer.status == 500
        answer = client.exchange()
        assert answer.get("server") == "saola" and answer.get("date").endswith(" GMT")


@BOTH
def test_no_server_field_if_switched_off(saola, app):
    server = saola(app, config={"server": {"server_header": ""}})
    assert server.get().get("server") is None


@BOTH
@pytest.mark.parametrize("field", [
    '["X-Injected", "a\\r\\nSet-Cookie: b=1"]', '["X-Injected", "a\\nb"]', '["X-Injected", "a\\u0000b"]',
    '["X Injected", "a"]', '["X-Injected:", "a"]', '["X-In\\r\\njected", "a"]',
])
def test_an_app_cannot_inject_headers(saola, app, field):
    server = saola(app)
    with server.connect() as client:
        answer = client.exchange("POST", "/headers", body=f"[{field}]".encode())
        assert answer.status == 500 and answer.get("set-cookie") is None
    assert server.get().status == 200


@BOTH
def test_two_cookies_stay_two(saola, app):
    server = saola(app)
    assert server.get("/cookies").all("set-cookie") == ["a=1", "b=2"]


@BOTH
def test_a_body_the_app_does_not_read_does_not_disturb_the_next_request(saola, app):
    server = saola(app)
    with server.connect() as client:
        for size in (1, 1000, 300_000):
            client.request("POST", "/unread", body=b"GET /pid HTTP/1.1\r\n" * (size // 19 + 1))
            answer = client.response()
            assert answer.body == b"not read\n"
            if answer.get("connection") == "close":
                return  # permitted: the rest of the body was not worth reading
        assert client.exchange().body == b"Hello, World!"


@BOTH
def test_keepalive_requests_limits_a_connection(saola, app):
    server = saola(app, config={"limits": {"keepalive_requests": 3}})
    with server.connect() as client:
        answers = [client.exchange() for _ in range(3)]
        assert [a.get("connection") for a in answers][-1] == "close"
        assert all(a.get("connection") != "close" for a in answers[:-1])
        assert client.is_closed()


@BOTH
def test_every_answer_has_a_request_id(saola, app):
    server = saola(app)
    first, second = server.get().get("x-request-id"), server.get().get("x-request-id")
    assert first and second and first != second


@BOTH
@pytest.mark.parametrize("path, status", [("/a%00b", 400), ("/%zz", 400), ("/%4", 400),
                                          ("/../etc", 400), ("/%2e%2e/etc", 400),
                                          ("/hello/a/../b", 200), ("/hello//x", 200)])
def test_paths(saola, app, path, status):
    server = saola(app)
    assert server.get(path).status == status


def test_an_answer_shorter_than_promised_is_broken_off(saola):
    for app in ("raw_wsgi:application", "raw_asgi:application"):
        server = saola(app)
        with server.connect() as client, pytest.raises(ConnectionBroken):
            # An app that fails before anything was sent is a plain 500: as clear.
            if client.exchange(target="/short?by=50").status == 500:
                raise ConnectionBroken("answered 500")
        assert server.get().status == 200


def test_an_answer_longer_than_promised_is_cut_there(saola):
    """The extra bytes must never be read as the next answer."""
    for app in ("raw_wsgi:application", "raw_asgi:application"):
        server = saola(app)
        with server.connect() as client:
            try:
                answer = client.exchange(target="/short?by=-50")
                assert answer.status in (200, 500)
                if answer.status == 200:
                    assert answer.body == b"x" * 50
                assert client.exchange().body == b"Hello, World!"
            except (ConnectionBroken, BrokenPipeError):
                pass  # closing is right as well
        assert server.get().status == 200
