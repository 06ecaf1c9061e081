"""gunicorn's access log atoms, each against gunicorn's own line for the same request.

gunicorn is PyPI's, with the same application. The one difference that is allowed is how bytes are
written that could forge a line: gunicorn writes `\\"` for a quote and all else as it is, Saola
writes `\\xHH` for quotes, backslashes, control bytes and bytes above 0x7e.
"""

import os
import re
import socket
import subprocess
import time

import pytest

from support.http_client import Client
from support.server import APPS
from support.waiting import DEADLINE, wait_for

BEGIN, BETWEEN, END = "@begin@", "@|@", "@end@"

# What must be the same text.
SAME = [
    "%(h)s", "%(l)s", "%(u)s", "%(r)s", "%(s)s", "%(m)s", "%(U)s", "%(q)s", "%(H)s", "%(b)s",
    "%(B)s", "%(f)s", "%(a)s",
    "%({user-agent}i)s", "%({User-Agent}i)s", "%({x-twice}i)s", "%({x-none}i)s", "%({host}i)s",
    "%({cookie}i)s", "%({content-type}o)s", "%({Content-Length}o)s", "%({set-cookie}o)s",
    "%({x-none}o)s", "%({REQUEST_METHOD}e)s", "%({path_info}e)s", "%({QUERY_STRING}e)s",
    "%({RAW_URI}e)s", "%({SERVER_PROTOCOL}e)s", "%({REMOTE_ADDR}e)s", "%({CONTENT_TYPE}e)s",
    "%({CONTENT_LENGTH}e)s", "%({HTTP_X_TWICE}e)s", "%({wsgi.url_scheme}e)s", "%({no_such}e)s",
]
# What cannot be the same twice: what it looks like, and what it says beside the others.
SHAPED = {
    "%(t)s": r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]",
    "%(T)s": r"\d+", "%(M)s": r"\d+", "%(D)s": r"\d+", "%(L)s": r"\d+\.\d{6}", "%(p)s": r"<\d+>",
}
ATOMS = SAME + list(SHAPED)
FORMAT = BEGIN + BETWEEN.join(ATOMS) + END

HOST = ("Host", "atoms.example")
REQUESTS = {
    "plain": ("GET", "/hello", [HOST], None),
    "query": ("GET", "/hello?a=b&c=%20d", [HOST], None),
    "empty query": ("GET", "/hello?", [HOST], None),
    "encoded path": ("GET", "/hello/%41%20%2F%C3%A9", [HOST], None),
    "control bytes": ("GET", "/hello/%0d%0aforged%1b%22%5c", [HOST], None),
    "fields": ("GET", "/hello", [HOST, ("User-Agent", "agent/1.0"), ("Referer", "https://r/?x=y"),
                                 ("Cookie", "a=1; b=2"), ("X-Twice", "once")], None),
    "repeated field": ("GET", "/hello", [HOST, ("X-Twice", "first"), ("X-Twice", "second")], None),
    "quotes and high bytes": ("GET", "/hello", [
        HOST, ("User-Agent", 'say "no" \\ caf\xe9'), ("Referer", 'https://r/"')], None),
    "basic user": ("GET", "/hello", [HOST, ("Authorization", "Basic YWxpY2U6c2VjcmV0")], None),
    "basic user, other case": ("GET", "/hello", [HOST, ("Authorization", "bAsIc YWxpY2U6")], None),
    "basic, no colon": ("GET", "/hello", [HOST, ("Authorization", "Basic YWxpY2U=")], None),
    "basic, no base64": ("GET", "/hello", [HOST, ("Authorization", "Basic ???")], None),
    "another scheme": ("GET", "/hello", [HOST, ("Authorization", "Bearer YWxpY2U6")], None),
    "body": ("POST", "/echo", [HOST, ("Content-Type", "text/x-test")], b"12345"),
    "cookies": ("GET", "/cookies", [HOST], None),
    "not found": ("GET", "/no/such/path", [HOST], None),
    "no length": ("GET", "/stream?count=3&size=7", [HOST], None),
    "no content": ("GET", "/status/204", [HOST], None),
    "server error": ("GET", "/status/503?body=sorry", [HOST], None),
    "head": ("HEAD", "/hello", [HOST], None),
    "other method": ("PROPFIND", "/hello", [HOST], None),
}


def unescaped_gunicorn(text):
    """gunicorn's text as the bytes of the request."""
    return text.replace('\\"', '"').encode("latin-1")


def escaped(data):
    return "".join(chr(b) if 0x20 <= b < 0x7f and b not in b'"\\' else f"\\x{b:02x}" for b in data)


def records(text):
    found = re.findall(re.escape(BEGIN) + "(.*?)" + re.escape(END), text, re.DOTALL)
    return [dict(zip(ATOMS, one.split(BETWEEN), strict=True)) for one in found]


class Gunicorn:
    def __init__(self, venv, directory):
        self.log = directory / "gunicorn.log"
        listener = socket.create_server(("127.0.0.1", 0))
        listener.set_inheritable(True)
        self.address = listener.getsockname()
        gates = directory / "gates"
        gates.mkdir()
        self.process = subprocess.Popen(
            [f"{venv}/bin/python", "-m", "gunicorn", "--chdir", str(APPS), "--no-control-socket",
             "-b", f"fd://{listener.fileno()}", "--access-logfile", str(self.log),
             "--access-logformat", FORMAT, "raw_wsgi:application"],
            pass_fds=[listener.fileno()], cwd=directory, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "GATES": str(gates),
                 "HOME": str(directory), "LANG": "C.UTF-8"})
        listener.close()

    def stop(self):
        self.process.terminate()
        _, errors = self.process.communicate(timeout=DEADLINE)
        return errors


@pytest.fixture(scope="module")
def gunicorns_records(framework_venv, tmp_path_factory):
    """gunicorn's record of each of REQUESTS."""
    gunicorn = Gunicorn(framework_venv, tmp_path_factory.mktemp("gunicorn"))
    try:
        return ask_all(gunicorn.address, lambda: gunicorn.log.read_bytes().decode()
                       if gunicorn.log.exists() else "")
    finally:
        errors = gunicorn.stop()
        assert "Traceback" not in errors, errors


def ask_all(address, log):
    found = {}
    for name, (method, target, headers, body) in REQUESTS.items():
        with Client(address) as client:
            asked = time.time()
            status = client.exchange(method, target, headers, body, host=None).status
            answered = time.time()
        wait_for(lambda: len(records(log())) > len(found), f"the line of the request '{name}'")
        found[name] = records(log())[-1] | {"sent": status, "asked": asked, "answered": answered}
    return found


def check_shape(record):
    """Atoms of time and process: their form, and that they agree with each other."""
    for atom, pattern in SHAPED.items():
        assert re.fullmatch(pattern, record[atom]), (atom, record[atom])
    micros = int(record["%(D)s"])
    assert int(record["%(M)s"]) == micros // 1000
    assert int(record["%(T)s"]) == micros // 1_000_000
    assert record["%(L)s"] == f"{micros // 1_000_000}.{micros % 1_000_000:06}"
    ended = time.mktime(time.strptime(record["%(t)s"][1:21], "%d/%b/%Y:%H:%M:%S"))
    assert int(record["asked"]) <= ended <= record["answered"] + 1


@pytest.fixture
def saolas_records(saola):
    server = saola(config={"log": {"access": "-", "access_format": FORMAT}}, tls=False)
    found = ask_all(server.addresses[0], server.stdout)
    return found, server.wait_workers(1)[0]


def test_every_atom_says_what_gunicorn_says(gunicorns_records, saolas_records):
    saolas, worker = saolas_records
    differences = []
    for name, theirs in gunicorns_records.items():
        ours = saolas[name]
        assert ours["sent"] == theirs["sent"], name
        for atom in SAME:
            expected = escaped(unescaped_gunicorn(theirs[atom]))
            if ours[atom] != expected:
                differences.append(f"{name}: {atom}: {ours[atom]!r}, gunicorn {expected!r}")
        check_shape(theirs)
        check_shape(ours)
        assert ours["%(p)s"] == f"<{worker}>"
    assert not differences, "\n".join(differences)
