"""What an admin address says, and Prometheus' text format."""

import re

from .http_client import Client
from .waiting import wait_for

SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([^ ]+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


def parse(text):
    """{(name, frozenset of (label, value)): number}; fails on a line that is no sample."""
    samples = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = SAMPLE.match(line)
        assert match, f"not a sample: {line}"
        key = match[1], frozenset(LABEL.findall(match[2] or ""))
        assert key not in samples, f"twice: {line}"
        samples[key] = float(match[3])
    return samples


def total(samples, name, **labels):
    """The sum of all samples of that name with these labels among theirs."""
    wanted = set(labels.items())
    return sum(value for (found, has), value in samples.items() if found == name and wanted <= has)


def counters(samples, text):
    """Those that may never decrease."""
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))

    def is_counter(name):
        family = re.sub(r"_(bucket|count|sum)$", "", name)
        return kinds.get(name) == "counter" or kinds.get(family) == "histogram"

    return {key: value for key, value in samples.items() if is_counter(key[0])}


class Admin:
    """The admin address of a Saola(admin=True)."""

    def __init__(self, server):
        self.address = "127.0.0.1", server.admin_port
        self.server = server
        server.wait_log("metrics and health at")

    def get(self, target, headers=(), method="GET", tls=None):
        name = "localhost" if tls else None
        with Client(self.address, tls, name) as client:
            return client.exchange(method, target, headers)

    def text(self, headers=()):
        answer = self.get("/metrics", headers)
        assert answer.status == 200, answer.body
        return answer.body.decode()

    def metrics(self):
        return parse(self.text())

    def total(self, name, **labels):
        return total(self.metrics(), name, **labels)

    def wait_total(self, expected, name, **labels):
        wait_for(lambda: self.total(name, **labels) == expected,
                 f"{name} {labels} to be {expected}; it is {self.total(name, **labels)}")
