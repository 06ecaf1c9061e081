#!/usr/bin/python3
"""Memory per idle keep-alive TLS connection, of Saola's edge and of nginx beside it.

    tests/bench/idle.py [--connections 10000]

Each connection has made one request. The figure is the growth of the proportional set size (PSS) of
the process that holds them, per connection. At the end some of them make another request.
"""

import argparse
import json
import random
import resource
import socket
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from servers import Nginx, Saola, certificate, client_context, pss_bytes  # noqa: E402

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def exchange(tls):
    tls.sendall(REQUEST)
    answer = b""
    while not answer.endswith(b"Hello, World!"):
        data = tls.recv(4096)
        if not data:
            sys.exit("a connection was closed")
        answer += data


def open_connections(port, context, count):
    opened = []
    for _ in range(count):
        tls = context.wrap_socket(socket.create_connection(("127.0.0.1", port)),
                                  server_hostname="localhost")
        exchange(tls)
        opened.append(tls)
    return opened


def measure(server, context, count):
    server.wait()
    groups = server.groups()
    pids = groups.get("edge") or groups["nginx"]
    try:
        warm = open_connections(server.port, context, 200)
        before = sum(map(pss_bytes, pids))
        held = open_connections(server.port, context, count)
        after = sum(map(pss_bytes, pids))
        for tls in random.sample(held, min(count, 200)):
            exchange(tls)
        for tls in warm + held:
            tls.close()
    finally:
        server.stop()
    return {"name": server.name, "connections": count, "bytes_each": (after - before) / count,
            "before": before, "after": after}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--json", help="file for the figures")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows = []
    with tempfile.TemporaryDirectory(prefix="saola-bench-") as scratch:
        pair = certificate(scratch)
        context = client_context(pair[0])
        for start in (lambda: Saola(*pair, "hello_wsgi:application", "Saola, edge"),
                      lambda: Nginx(*pair)):
            rows.append(measure(start(), context, options.connections))
    print("| server | idle TLS connections | KiB each | process before | after |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(f"| {row['name']} | {row['connections']} | {row['bytes_each'] / 1024:.1f} | "
              f"{row['before'] / 2**20:.1f} MiB | {row['after'] / 2**20:.1f} MiB |")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
