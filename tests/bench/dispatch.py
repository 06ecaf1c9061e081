#!/usr/bin/python3
"""How long a request waits although a worker is idle: one worker busy for 200 ms at a time, one idle.

    tests/bench/dispatch.py [--seconds 20] [--rate 400] [--burst 4] [--busy sleep|spin]

Open loop: requests are due at fixed times whatever happened to those before, and a latency counts
from when its request was due. The same load is measured first without the busy worker, for what the
machine and the generator add themselves. `extra` is the difference.
"""

import argparse
import gc
import json
import select
import socket
import ssl
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from servers import Saola, certificate, client_context  # noqa: E402

REQUEST = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"
QUANTILES = (50, 90, 99, 99.9, 100)


class Connection:
    def __init__(self, port, context):
        raw = socket.create_connection(("127.0.0.1", port))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls = context.wrap_socket(raw, server_hostname="localhost")
        self.tls.setblocking(False)
        self.buffer, self.due, self.sent = b"", 0.0, 0.0

    def start(self, due):
        self.due, self.sent, self.buffer = due, time.perf_counter(), b""
        self.tls.send(REQUEST)

    def finished(self):
        """Reads what is there; true once the answer is whole."""
        try:
            self.buffer += self.tls.recv(65536)
        except ssl.SSLWantReadError:
            return False
        if not self.buffer.startswith(b"HTTP/1.1 200 "):
            sys.exit(f"not 200: {self.buffer[:100]!r}")
        return self.buffer.endswith(b"Hello, World!")


def keep_busy(port, context, path, stop):
    """One request that holds a worker, always one in flight."""
    raw = socket.create_connection(("127.0.0.1", port))
    with context.wrap_socket(raw, server_hostname="localhost") as tls:
        while not stop.is_set():
            tls.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            answer = b""
            while not answer.endswith(b"Hello, World!"):
                answer += tls.recv(65536)


def load(port, context, options):
    """Latencies from the due time, and how late the generator itself sent, in seconds."""
    pool = [Connection(port, context) for _ in range(options.connections)]
    by_fd = {connection.tls.fileno(): connection for connection in pool}
    idle, busy, latencies, late = list(pool), {}, [], []
    poller = select.epoll()
    for fd in by_fd:
        poller.register(fd, select.EPOLLIN)
    gc.disable()
    begin = time.perf_counter()
    interval = options.burst / options.rate
    due, end = begin, begin + options.seconds
    while due < end or busy:
        now = time.perf_counter()
        while due <= now and due < end:
            for _ in range(options.burst):
                if not idle:
                    sys.exit("all connections wait: the server does not keep up")
                connection = idle.pop()
                connection.start(due)
                late.append(connection.sent - due)
                busy[connection.tls.fileno()] = connection
            due += interval
        # The poll spins: a sleep would add the timer's slack to every latency.
        for fd, _ in poller.poll(0):
            connection = by_fd[fd]
            if connection.finished() and busy.pop(fd, None):
                latencies.append(time.perf_counter() - connection.due)
                idle.append(connection)
    gc.enable()
    for connection in pool:
        connection.tls.close()
    return sorted(latencies), sorted(late)


def quantiles(values):
    return {q: 1000 * values[min(len(values) - 1, int(len(values) * q / 100))] for q in QUANTILES}


def row(name, values):
    print(f"| {name} | " + " | ".join(f"{values[q]:.3f}" for q in QUANTILES) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float, default=400, help="requests per second")
    parser.add_argument("--burst", type=int, default=4, help="requests due at the same moment")
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--prefetch", type=int, default=16)
    parser.add_argument("--busy", choices=("sleep", "spin"), default="sleep",
                        help="whether the busy worker uses its CPU")
    parser.add_argument("--app", default="raw_wsgi:application")
    parser.add_argument("--json", help="file for the figures")
    options = parser.parse_args()
    path = {"sleep": "/sleep?ms=200", "spin": "/busy?ms=200"}[options.busy]

    with tempfile.TemporaryDirectory(prefix="saola-bench-") as scratch:
        cert, key = certificate(scratch)
        context = client_context(cert)
        server = Saola(cert, key, options.app, "Saola",
                       f"workers = 2\nprefetch = {options.prefetch}").wait()
        try:
            alone, _ = load(server.port, context, options)
            stop = threading.Event()
            holder = threading.Thread(target=keep_busy, args=(server.port, context, path, stop))
            holder.start()
            try:
                beside, late = load(server.port, context, options)
            finally:
                stop.set()
                holder.join()
        finally:
            server.stop()
    figures = {"both idle": quantiles(alone), "one busy": quantiles(beside),
               "generator late": quantiles(late)}
    figures["extra"] = {q: figures["one busy"][q] - figures["both idle"][q] for q in QUANTILES}
    print(f"{len(beside)} requests, {options.rate:.0f}/s in bursts of {options.burst}, beside a "
          f"worker that holds 200 ms ({options.busy}); milliseconds from when due\n")
    print("| | " + " | ".join("max" if q == 100 else f"p{q}" for q in QUANTILES) + " |")
    print("|---" * (len(QUANTILES) + 1) + "|")
    for name, values in figures.items():
        row(name, values)
    over = sum(value > 0.002 for value in beside)
    print(f"\nover 2 ms: {over} of {len(beside)}; when both idle: "
          f"{sum(value > 0.002 for value in alone)} of {len(alone)}")
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
