"""Extension modules that bring their own OpenSSL, zlib and nghttp2 work together in one worker."""

import http.server
import ssl
import threading

import pytest


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "9")
        self.end_headers()
        self.wfile.write(b"over TLS\n")

    def log_message(self, *_):
        pass


@pytest.fixture
def tls_server(certs):
    """Somebody else's TLS server, for the worker to call."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.ecdsa.certificate, certs.ecdsa.key)

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def finish_request(self, request, client_address):  # handshake off the accepting thread
            try:
                with context.wrap_socket(request, server_side=True) as tls:
                    super().finish_request(tls, client_address)
            except OSError:
                pass  # psycopg2 and gRPC leave in the middle, as they should

    server = Server(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def test_wheels_are_imported_and_used_together(saola, certs, framework_venv, tls_server):
    server = saola("wheels:application", config={"app": {"venv": framework_venv}})
    query = (f"?ca={certs.ecdsa.certificate}&port={tls_server}"
             f"&url=https://localhost:{tls_server}/")
    with server.connect() as client:
        for _ in range(2):
            assert client.exchange(target="/" + query).json() == {
                "ssl": "over TLS\n", "pycurl": "over TLS\n", "cryptography": "secret",
                "psycopg2": "OperationalError", "grpcio": "not ready", "lxml": "text", "numpy": 8,
                "uvloop": None, "zlib": 100_000}
    assert len(server.workers()) == 1
