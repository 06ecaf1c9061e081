"""TLS as clients meet it: versions, certificates by name and key type, resumption, ALPN."""

import os
import socket
import ssl
import subprocess

import pytest

from support.http_client import Client, client_tls


def peer(server, context=None, name="localhost"):
    """(names in the certificate, the TLS socket's facts)."""
    with server.connect(tls=context, server_name=name) as client:
        assert client.exchange(host=name or "localhost").status in (200, 421)
        names = {value for kind, value in client.sock.getpeercert().get("subjectAltName", ())}
        return names, client.sock.version(), client.sock.cipher()[0]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3(saola, version):
    server = saola()
    context = server.tls_context(minimum=version, maximum=version)
    assert peer(server, context)[1] == version.name.replace("_", ".")


def test_older_versions_are_refused(saola):
    server = saola()
    context = server.tls_context(minimum=ssl.TLSVersion.TLSv1, maximum=ssl.TLSVersion.TLSv1_1)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        server.connect(tls=context)
    assert server.get().status == 200


def test_min_version_1_3_refuses_1_2(saola, certs):
    server = saola(listen=[{"tls": {**certs.ecdsa.toml(), "min_version": "1.3"}}])
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        server.connect(tls=server.tls_context(maximum=ssl.TLSVersion.TLSv1_2))
    assert peer(server)[1] == "TLSv1.3"


def test_ciphers_can_be_chosen(saola, certs):
    server = saola(listen=[{"tls": {**certs.ecdsa.toml(),
                                    "ciphers": "ECDHE-ECDSA-CHACHA20-POLY1305",
                                    "ciphersuites": "TLS_CHACHA20_POLY1305_SHA256"}}])
    old = server.tls_context(maximum=ssl.TLSVersion.TLSv1_2)
    assert peer(server, old)[2] == "ECDHE-ECDSA-CHACHA20-POLY1305"
    assert peer(server)[2] == "TLS_CHACHA20_POLY1305_SHA256"


def test_certificates_by_name(saola, certs):
    server = saola(listen=[{"tls": certs.ecdsa.toml(), "certificates": [
        certs.one.toml(), certs.two.toml(), certs.wild.toml()]}])
    assert peer(server, name="one.example")[0] == {"one.example"}
    assert peer(server, name="two.example")[0] == {"two.example"}
    assert peer(server, name="any.wild.example")[0] == {"*.wild.example"}
    assert "localhost" in peer(server)[0]


def test_an_unknown_name_gets_the_first_certificate(saola, certs):
    server = saola(listen=[{"tls": certs.ecdsa.toml(), "certificates": [certs.one.toml()]}])
    context = server.tls_context()
    context.check_hostname = False
    names, _, _ = peer(server, context, "unknown.example")
    assert "localhost" in names
    with Client(server.addresses[0], context, None) as client:  # no name at all
        assert client.exchange().status == 200


def test_ecdsa_and_rsa_side_by_side(saola, certs):
    server = saola(listen=[{"tls": certs.ecdsa.toml(), "certificates": [certs.rsa.toml()]}])
    for cipher in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"):
        context = server.tls_context(maximum=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(cipher)
        assert peer(server, context)[2] == cipher


def test_a_key_with_a_password(saola, certs):
    server = saola(listen=[{"tls": {**certs.encrypted.toml(),
                                    "key_password_file": certs.password_file}}])
    assert server.get().status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed(saola, version):
    server = saola()
    context = server.tls_context(minimum=version, maximum=version)

    def connect(session):
        raw = socket.create_connection(server.addresses[0], timeout=30)
        with context.wrap_socket(raw, server_hostname="localhost", session=session) as tls:
            tls.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert tls.recv(12) == b"HTTP/1.1 200"  # TLS 1.3 tickets come with the first data
            return tls.session, tls.session_reused

    session, reused = connect(None)
    assert not reused
    assert connect(session)[1]


def test_alpn_offers_http_1_1_only(saola):
    server = saola()
    with server.connect(tls=server.tls_context(alpn=("h2", "http/1.1"))) as client:
        assert client.sock.selected_alpn_protocol() == "http/1.1"
        assert client.exchange().status == 200


def test_an_alpn_list_without_ours_is_refused_or_ignored(saola):
    server = saola()
    try:
        with server.connect(tls=server.tls_context(alpn=("h2",))) as client:
            assert client.sock.selected_alpn_protocol() is None
    except (ssl.SSLError, ConnectionResetError):
        pass
    assert server.get().status == 200


def test_plain_http_on_a_tls_port_does_no_harm(saola):
    server = saola()
    with server.connect(tls=False) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" not in client.read_until_closed()
    assert server.get().status == 200


def test_garbage_on_a_tls_port_does_no_harm(saola):
    server = saola()
    for garbage in (b"\0" * 1000, b"\x16\x03\x01\xff\xff" + b"a" * 3000, bytes(range(256)) * 40):
        with server.connect(tls=False) as client:
            try:
                client.send(garbage)
                client.read_until_closed()
            except Exception as error:  # a reset is as good
                assert isinstance(error, OSError) or "reset" in str(error)
    assert server.get().status == 200


def test_close_notify_ends_an_answer_until_close(saola):
    """An HTTP/1.0 client tells a complete answer from a truncated one by close_notify."""
    server = saola()
    with server.connect() as client:
        client.request(target="/stream?count=2", version="HTTP/1.0")
        client.head()
        client.read_until_closed()  # raises on an end without close_notify


def test_plain_and_tls_listeners_and_address_families(saola, certs):
    server = saola(listen=[{"tls": certs.ecdsa.toml()}, {}, {"tls": certs.rsa.toml()}])
    assert [server.get(index=i).status for i in range(3)] == [200] * 3
    assert server.get("/environ", index=0).json()["wsgi.url_scheme"] == "https"
    assert server.get("/environ", index=1).json()["wsgi.url_scheme"] == "http"


def test_a_unix_socket_listener(saola):
    path = saola.directory() + "/web.sock"
    server = saola(listen=[{"address": "unix:" + path, "mode": "0600"}])
    assert server.get("/environ").json()["wsgi.url_scheme"] == "http"
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_an_ipv6_listener(saola):
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 here")
        port = probe.getsockname()[1]
    server = saola(listen=[{"address": f"[::1]:{port}"}])
    assert server.get("/environ").json()["REMOTE_ADDR"] == "::1"


def test_curl_and_openssl_are_content(saola, certs):
    server = saola()
    assert server.curl("--http1.1", "--tlsv1.3", server.url("/")).stdout == b"Hello, World!"
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-servername", "localhost",
         "-CAfile", certs.ecdsa.certificate, "-verify_return_error", "-brief"],
        input=b"", capture_output=True)
    assert b"Verification: OK" in done.stderr, done.stderr


def test_a_client_that_renegotiates_is_not_served_for_it(saola):
    """TLS 1.2 renegotiation costs the server a handshake each time; it is off."""
    server = saola()
    done = subprocess.run(
        # The client waits for a handshake that does not come; a request behind it is not answered.
        ["timeout", "5", "openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2",
         "-ign_eof"],
        input=b"R\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n", capture_output=True, timeout=60)
    assert b"Hello, World" not in done.stdout
    assert server.get().status == 200


def test_client_tls_trusts_nothing_else(saola, certs):
    server = saola()
    with pytest.raises(ssl.SSLCertVerificationError):
        server.connect(tls=client_tls(certs.two.certificate))
