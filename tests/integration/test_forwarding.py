"""Who the client is, and where it wanted to go: forwarded headers, PROXY protocol, redirects."""

import socket
import struct

import pytest

from support.http_client import ConnectionBroken
from support.server import APPS

TRUSTED = ["127.0.0.0/8"]


def seen(server, headers, app_path="/environ", **more):
    return server.get(app_path, headers, **more).json()


def test_without_a_trusted_proxy_headers_are_not_believed(saola):
    server = saola()
    environ = seen(server, [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "http"),
                            ("Forwarded", "for=203.0.113.9;proto=http")])
    assert environ["REMOTE_ADDR"] == "127.0.0.1" and environ["wsgi.url_scheme"] == "https"


@pytest.mark.parametrize("sent, expected", [
    ("203.0.113.9", "203.0.113.9"),
    ("198.51.100.1, 203.0.113.9", "203.0.113.9"),      # the left one may be forged
    ("203.0.113.9, 127.0.0.7", "203.0.113.9"),         # trusted hops are passed over
    ("2001:db8::1", "2001:db8::1"),
])
def test_x_forwarded_for_is_walked_from_the_right(saola, sent, expected):
    server = saola(listen=[{"forwarded": "x-forwarded", "trusted": TRUSTED}])
    environ = seen(server, [("X-Forwarded-For", sent), ("X-Forwarded-Proto", "https")])
    assert environ["REMOTE_ADDR"] == expected
    assert environ["wsgi.url_scheme"] == "https"


def test_forwarded_of_rfc_7239(saola):
    server = saola(listen=[{"forwarded": "rfc7239", "trusted": TRUSTED}])
    environ = seen(server, [
        ("Forwarded", 'for=198.51.100.1, for="[2001:db8::17]:4711";proto=https;host=public.example'),
        ("X-Forwarded-For", "192.0.2.66")])
    assert environ["REMOTE_ADDR"] == "2001:db8::17" and environ["wsgi.url_scheme"] == "https"
    assert "HTTP_X_FORWARDED_FOR" not in environ  # the other sources are stripped


def test_an_untrusted_peer_is_not_believed(saola):
    server = saola(listen=[{"forwarded": "x-forwarded", "trusted": ["192.0.2.0/24"]}])
    environ = seen(server, [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https")])
    assert environ["REMOTE_ADDR"] == "127.0.0.1" and environ["wsgi.url_scheme"] == "http"


def test_asgi_sees_the_forwarded_client_and_scheme(saola):
    server = saola("raw_asgi:application",
                   listen=[{"forwarded": "x-forwarded", "trusted": TRUSTED}])
    scope = seen(server, [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https")],
                 "/scope")
    assert scope["client"][0] == "203.0.113.9" and scope["scheme"] == "https"


def proxy_v2(source, target, ports=(4711, 443)):
    address = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!HH", *ports)
    return b"\r\n\r\n\0\r\nQUIT\n" + b"\x21\x11" + struct.pack("!H", len(address)) + address


@pytest.mark.parametrize("preamble", [
    b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n", proxy_v2("203.0.113.9", "192.0.2.1"),
], ids=["v1", "v2"])
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
def test_proxy_protocol_names_the_client(saola, certs, preamble, encrypted):
    table = {"forwarded": "proxy-protocol", "trusted": TRUSTED}
    if encrypted:
        table["tls"] = certs.ecdsa.toml()
    server = saola(listen=[table])
    client = server.connect(tls=False)
    client.send(preamble)
    if encrypted:
        client.sock = server.tls_context().wrap_socket(client.sock, server_hostname="localhost")
    environ = client.exchange(target="/environ").json()
    client.close()
    assert environ["REMOTE_ADDR"] == "203.0.113.9"
    assert environ["wsgi.url_scheme"] == ("https" if encrypted else "http")


@pytest.mark.parametrize("preamble", [
    b"PROXY TCP4 nonsense\r\n", b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c" + b"x" * 12,
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
], ids=["v1-nonsense", "v2-version-3", "none"])
def test_a_broken_proxy_preamble_ends_the_connection(saola, preamble):
    server = saola(listen=[{"forwarded": "proxy-protocol", "trusted": TRUSTED}, {}])
    with server.connect() as client:
        client.send(preamble)
        try:
            data = client.read_until_closed()
        except ConnectionBroken:
            data = b""
        assert b"200 OK" not in data
    assert server.get(index=1).status == 200


def test_names_with_underscores_do_not_alias(saola):
    server = saola()
    environ = seen(server, [("X-User", "real"), ("X_User", "forged"), ("Content_Length", "7")])
    assert environ["HTTP_X_USER"] == "real" and environ.get("CONTENT_LENGTH") in (None, "", "0")


def test_the_proxy_header_does_not_become_an_environment_variable(saola):
    """httpoxy: CGI-like environments turn Proxy into HTTP_PROXY."""
    server = saola()
    environ = seen(server, [("Proxy", "http://evil.example/")])
    assert "evil" not in environ.get("HTTP_PROXY", "")


def test_redirect_to_https(saola, certs):
    server = saola(listen=[{"redirect_https": True}, {"tls": certs.ecdsa.toml()}])
    with server.connect() as client:
        answer = client.exchange(target="/path/a?b=c%20d", host="shop.example:80")
        assert answer.status == 308
        assert answer.get("location") == "https://shop.example/path/a?b=c%20d"
        answer = client.exchange("POST", "/x", body=b"data", host="shop.example")
        assert answer.status == 308
    assert server.get(index=1).status == 200


def test_redirect_names_a_port_that_is_not_443(saola, certs):
    server = saola(listen=[{"redirect_https": True, "redirect_port": 8443}])
    answer = server.get("/x", host="shop.example:8080")
    assert answer.get("location") == "https://shop.example:8443/x"


def test_redirect_without_a_host_is_400(saola):
    server = saola(listen=[{"redirect_https": True}])
    with server.connect() as client:
        assert client.exchange(version="HTTP/1.0", host=None).status == 400


def test_a_misdirected_host_is_421(saola, certs):
    server = saola(listen=[{"tls": {**certs.one.toml(), "unknown_host": "misdirected"},
                            "certificates": [certs.two.toml()]}])
    with server.connect(server_name="one.example") as client:
        assert client.exchange(host="one.example").status == 200
        assert client.exchange(host="nobody.example").status == 421


def test_route_by_host_path_and_redirect(saola):
    apps = {"one": {"target": "raw_wsgi:application", "directory": str(APPS), "workers": 1},
            "two": {"target": "raw_asgi:application", "directory": str(APPS), "workers": 1}}
    server = saola(config={"apps": apps, "route": [
        {"path": "/old", "redirect": "https://new.example{uri}", "redirect_status": 301},
        {"host": "two.example", "app": "two"},
        {"path": "/second/", "app": "two", "strip_prefix": True},
        {"path": "/", "app": "one"}]})
    assert "SERVER_PROTOCOL" in server.get("/environ").json()
    assert server.get("/scope", host="two.example").json()["type"] == "http"
    scope = server.get("/second/scope").json()
    assert scope["root_path"] == "/second"
    moved = server.get("/old?x=1")
    assert moved.status == 301 and moved.get("location") == "https://new.example/old?x=1"


def test_nothing_matches_is_404(saola):
    server = saola(config={"route": [{"path": "/only/"}]})
    assert server.get("/only/x").status == 404  # the app's own
    answer = server.get("/other")
    assert answer.status == 404 and answer.get("x-request-id") in answer.text
