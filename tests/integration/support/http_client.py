"""An HTTP/1.1 client that sends exactly the bytes it is given and reads answers strictly.

Any deviation of the answer's framing from RFC 9112 is a ProtocolError, so every test that reads an
answer also checks the server's framing.
"""

import re
import socket
import ssl
from dataclasses import dataclass, field

from .waiting import DEADLINE

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)\Z")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*\Z")


class ProtocolError(AssertionError):
    """The server sent something that is not HTTP/1.1."""


class ConnectionBroken(Exception):
    """The connection ended inside an answer, or before one. `received` has what came of it."""

    def __init__(self, message, received=b""):
        super().__init__(message)
        self.received = received


@dataclass
class Response:
    status: int
    reason: str
    headers: list  # of (name as sent, value), in order
    body: bytes = b""
    trailers: list = field(default_factory=list)
    interim: list = field(default_factory=list)  # statuses of 1xx answers before it

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        if len(values) > 1:
            raise ProtocolError(f"{name} sent {len(values)} times: {values}")
        return values[0] if values else default

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        import json
        return json.loads(self.body)


class Client:
    """One connection. Every read and write has the deadline as its time-out."""

    def __init__(self, address, tls=None, server_name=None, deadline=DEADLINE, receive_buffer=None):
        family = socket.AF_UNIX if isinstance(address, str) else (
            socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(deadline)
        if receive_buffer:  # before connect: it sets the window that is offered
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.connect(address)
        if family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls = tls
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname=server_name,
                                        suppress_ragged_eofs=False)
        self.buffer = b""
        self.ended = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes with RST instead of FIN."""
        raw = self.sock
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        raw.close()

    def finish_sending(self):
        """FIN after what was sent; reading goes on (plain connections; TLS sends close_notify)."""
        self.sock.shutdown(socket.SHUT_WR)

    # -- sending

    def send(self, data):
        self.sock.sendall(data)

    def request(self, method="GET", target="/", headers=(), body=None, host="localhost",
                version="HTTP/1.1"):
        """Sends one request; a body gets its Content-Length unless a framing header is given."""
        lines = [f"{method} {target} {version}"]
        names = {name.lower() for name, _ in headers}
        if host is not None and "host" not in names:
            lines.append(f"Host: {host}")
        lines += [f"{name}: {value}" for name, value in headers]
        if body is not None and not names & {"content-length", "transfer-encoding"}:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))

    def exchange(self, method="GET", target="/", headers=(), body=None, **more):
        self.request(method, target, headers, body, **more)
        return self.response(method)

    # -- receiving

    def _fill(self):
        try:
            data = self.sock.recv(65536)
        except ssl.SSLEOFError:  # end of file without close_notify
            raise ConnectionBroken("the connection broke without close_notify", self.buffer)
        except (ConnectionResetError, BrokenPipeError) as error:
            raise ConnectionBroken(str(error), self.buffer)
        if not data:
            self.ended = True
        self.buffer += data
        return bool(data)

    def _line(self):
        while b"\n" not in self.buffer:
            if len(self.buffer) > 1 << 20:
                raise ProtocolError("a line without end")
            if not self._fill():
                raise ConnectionBroken("end of the connection inside a head", self.buffer)
        line, self.buffer = self.buffer.split(b"\n", 1)
        if not line.endswith(b"\r") or b"\r" in line[:-1]:
            raise ProtocolError(f"a bare CR or LF: {line!r}")
        return line[:-1]

    def _fields(self):
        fields = []
        while line := self._line():
            match = _FIELD.match(line)
            if not match:
                raise ProtocolError(f"not a header field: {line!r}")
            fields.append((match[1].decode(), match[2].decode("latin-1")))
        return fields

    def read_exactly(self, count):
        while len(self.buffer) < count:
            if not self._fill():
                raise ConnectionBroken(
                    f"end of the connection, {count - len(self.buffer)} bytes missing", self.buffer)
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def head(self):
        """The next status line and header fields, 1xx included."""
        line = self._line()
        match = _STATUS_LINE.match(line)
        if not match:
            raise ProtocolError(f"not a status line: {line!r}")
        return Response(int(match[1]), match[2].decode("latin-1"), self._fields())

    def response(self, method="GET"):
        """The next final answer, whole."""
        interim = []
        while (response := self.head()).status < 200:
            interim.append(response.status)
        response.interim = interim
        chunks = []
        response.trailers = self.body(response, method, chunks.append)
        response.body = b"".join(chunks)
        return response

    def body(self, response, method, consume):
        """Reads the body that follows `response`'s head, gives pieces to `consume`; the trailers."""
        length, coding = response.get("content-length"), response.get("transfer-encoding")
        if length is not None and coding is not None:
            raise ProtocolError("both Content-Length and Transfer-Encoding")
        if response.status < 200 or response.status == 204:
            if length is not None or coding is not None:
                raise ProtocolError(f"{response.status} with a framing header (RFC 9110 8.6)")
            return []
        if method == "HEAD" or response.status == 304:
            return []
        if coding is not None:
            if coding.lower() != "chunked":
                raise ProtocolError(f"transfer coding {coding!r}")
            return self._chunks(consume)
        if length is not None:
            if not re.fullmatch(r"[0-9]+", length):
                raise ProtocolError(f"Content-Length {length!r}")
            self._counted(int(length), consume)
            return []
        if "close" not in (response.get("connection") or "").lower():
            raise ProtocolError("a body until the end of the connection without Connection: close")
        consume(self.read_until_closed())
        return []

    def _counted(self, left, consume):
        while left:
            if not self.buffer and not self._fill():
                raise ConnectionBroken(f"end of the connection, {left} bytes of body missing")
            piece, self.buffer = self.buffer[:left], self.buffer[left:]
            left -= len(piece)
            consume(piece)

    def _chunks(self, consume):
        while True:
            line = self._line()
            if not re.fullmatch(rb"[0-9a-fA-F]+", line):
                raise ProtocolError(f"not a chunk size: {line!r}")
            size = int(line, 16)
            if size == 0:
                return self._fields()
            self._counted(size, consume)
            if self._line():
                raise ProtocolError("a chunk longer than its size")

    def read_until_closed(self):
        """What comes until the server closes (with close_notify, under TLS)."""
        while self._fill():
            pass
        data, self.buffer = self.buffer, b""
        return data

    def is_closed(self):
        """True once the server has closed and nothing is left to read; waits for that."""
        try:
            return self.read_until_closed() == b""
        except ConnectionBroken:
            return True


def client_tls(*trusted, alpn=("http/1.1",), minimum=None, maximum=None):
    """A context that verifies against exactly these certificate files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for certificate in trusted:
        context.load_verify_locations(certificate)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if minimum:
        context.minimum_version = minimum
    if maximum:
        context.maximum_version = maximum
    return context
