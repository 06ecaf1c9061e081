"""Unchanged applications of every framework, over TLS: PyPI's newest, Debian's versions, and the WSGI
ones once more inside wsgiref.validate."""

import hashlib
import json
import os
import random
import subprocess

import pytest
import requests

from conftest import SaolaFactory
from support.server import APPS

# Name of the module in tests/apps/frameworks and attribute, import name, and who calls it.
FRAMEWORKS = {
    "flask": ("flask_app:application", "flask", "wsgi"),
    "django-wsgi": ("django_app:application", "django", "wsgi"),
    "django-asgi": ("django_app:asgi_application", "django", "asgi"),
    "fastapi": ("fastapi_app:application", "fastapi", "asgi"),
    "starlette": ("starlette_app:application", "starlette", "asgi"),
    "quart": ("quart_app:application", "quart", "asgi"),
    "falcon-wsgi": ("falcon_app:application", "falcon", "wsgi"),
    "falcon-asgi": ("falcon_asgi_app:application", "falcon", "asgi"),
    "bottle": ("bottle_app:application", "bottle", "wsgi"),
    "pyramid": ("pyramid_app:application", "pyramid", "wsgi"),
    "litestar": ("litestar_app:application", "litestar", "asgi"),
}
NOT_IN_DEBIAN = {"litestar"}


def _sites():
    for name, (_, _, interface) in FRAMEWORKS.items():
        yield name, "pypi"
        if name not in NOT_IN_DEBIAN:
            yield name, "debian"
        if interface == "wsgi":
            yield name, "validated"


def _in_debian(module):
    """Whether the distribution's Python has it; in CI it must."""
    found = subprocess.run(["/usr/bin/python3", "-I", "-c", f"import {module}"],
                           capture_output=True).returncode == 0
    return found or bool(os.environ.get("CI"))


class Site:
    def __init__(self, server, certs):
        self.server, self.certificate = server, certs.ecdsa.certificate

    def session(self):
        session = requests.Session()
        session.trust_env = False
        session.verify = self.certificate
        return session

    def url(self, path):
        return self.server.url(path)


@pytest.fixture(scope="module", params=[
    pytest.param((name, source), id=f"{name}-{source}",
                 marks=pytest.mark.xdist_group(f"{name}-{source}"))
    for name, source in _sites()])
def site(request, certs, framework_venv):
    name, source = request.param
    target, module, _ = FRAMEWORKS[name]
    if source == "debian" and not _in_debian(module):
        pytest.skip(f"Debian's package of {module} is not installed")
    app = {"target": target, "directory": str(APPS / "frameworks"), "workers": 1, "threads": 1}
    env = {}
    if source != "debian":
        app["venv"] = framework_venv
    if source == "validated":
        app["target"], env["VALIDATED"] = "validated:application", target
    factory = SaolaFactory(certs)
    try:
        server = factory(config={"app": app}, env=env)
        yield Site(server, certs)
        if source == "validated":
            assert "AssertionError" not in server.log() and "WSGIWarning" not in server.log()
    finally:
        factory.finish()


def test_json_both_ways(site):
    with site.session() as session:
        assert session.get(site.url("/json"), params={"name": "Zoë"}).json() == {"hello": "Zoë"}
        sent = {"text": "snow ☃", "numbers": [1, 2.5], "nested": {"none": None}}
        answer = session.post(site.url("/json"), json=sent)
        assert answer.status_code == 200 and answer.json() == {"received": sent}


def test_a_path_is_decoded_once(site):
    with site.session() as session:
        assert session.get(site.url("/hello/caf%C3%A9%20%2541")).json() == {"hello": "café %41"}


def test_form(site):
    with site.session() as session:
        answer = session.post(site.url("/form"),
                              data=[("name", "a b&c=ü"), ("tag", "one"), ("tag", "two")])
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"name": "a b&c=ü", "tags": ["one", "two"]}


def test_upload_arrives_whole(site):
    data = random.Random(2).randbytes(3_000_001)
    with site.session() as session:
        answer = session.post(site.url("/upload"), data={"note": "with a file"},
                              files={"file": ("data.bin", data, "application/octet-stream")})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"filename": "data.bin", "size": len(data), "note": "with a file",
                             "sha256": hashlib.sha256(data).hexdigest()}


def test_stream(site):
    with site.session() as session:
        answer = session.get(site.url("/stream"), params={"count": 500})
        assert answer.text == "".join(f"line {number}\n" for number in range(500))


def test_an_error_is_500_and_the_connection_goes_on(site):
    with site.session() as session:
        assert session.get(site.url("/error")).status_code == 500
        assert session.get(site.url("/json")).json() == {"hello": "nobody"}


def test_redirect_stays_on_https(site):
    with site.session() as session:
        answer = session.get(site.url("/redirect"))
        assert [r.status_code for r in answer.history] in ([302], [307])
        assert answer.url == site.url("/json?name=moved")
        assert answer.json() == {"hello": "moved"}


def test_cookies(site):
    with site.session() as session:
        assert session.get(site.url("/cookies/set")).text == "set"
        assert session.get(site.url("/cookies")).json() == {"flavour": "oat"}


def test_session_counts_visits(site):
    with site.session() as session:
        assert [session.get(site.url("/session")).json() for _ in range(3)] \
            == [{"visits": n} for n in (1, 2, 3)]


def test_duplicate_headers_stay_two(site):
    with site.session() as session:
        answer = session.get(site.url("/duplicates"))
        cookies = answer.raw.headers.getlist("set-cookie")
        assert [cookie.split(";")[0] for cookie in cookies] == ["first=1", "second=2"]


def test_the_app_sees_the_connection(site):
    with site.session() as session:
        seen = session.get(site.url("/echo?a=1&b=%C3%BC"),
                           headers={"X-Test": "a value", "Accept": "x/y"}).json()
    assert seen["scheme"] == "https"
    assert seen["host"] == f"localhost:{site.server.port}"
    assert seen["client"] == "127.0.0.1"
    assert (seen["method"], seen["path"], seen["query"]) == ("GET", "/echo", "a=1&b=%C3%BC")
    assert seen["headers"]["x-test"] == "a value" and seen["headers"]["accept"] == "x/y"


def test_head_has_no_body_and_the_connection_goes_on(site):
    with site.server.connect() as client:
        answer = client.exchange("HEAD", "/json")
        assert answer.status in (200, 404, 405) and answer.body == b""
        assert client.exchange("GET", "/json").json() == {"hello": "nobody"}


def test_unknown_path_is_404(site):
    with site.session() as session:
        assert session.get(site.url("/nowhere")).status_code == 404


def test_curl_uploads_a_file(site, tmp_path):
    data = random.Random(3).randbytes(200_000)
    (tmp_path / "curl.bin").write_bytes(data)
    done = site.server.curl("-F", "note=from curl", "-F", f"file=@{tmp_path}/curl.bin",
                            site.url("/upload"))
    assert json.loads(done.stdout) == {"filename": "curl.bin", "size": len(data),
                                       "note": "from curl",
                                       "sha256": hashlib.sha256(data).hexdigest()}
