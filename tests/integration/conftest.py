"""Fixtures of the integration tests.

`saola` starts the real binary; see support/server.py for what it takes and what it checks after
each test: exit code, no process left, no sanitizer report, no file left in spool_dir.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from support import processes
from support.certs import Certificates
from support.server import Saola, binary, release_binary


def pytest_configure(config):
    processes.become_subreaper()


def pytest_report_header(config):
    return f"saola: {binary()}"


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    """Self-signed certificates for localhost (ECDSA and RSA) and for SNI."""
    return Certificates(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="session")
def framework_venv():
    """The virtual environment with PyPI's newest frameworks: SAOLA_TEST_VENV, or build/venv."""
    path = os.environ.get("SAOLA_TEST_VENV") or str(
        Path(__file__).resolve().parents[2] / "build" / "venv")
    if not (Path(path) / "pyvenv.cfg").exists():
        pytest.fail(f"{path} is no virtual environment; tests/run makes it")
    return path


class SaolaFactory:
    """saola(app=..., config={...}, listen=[...], wait=True) -> a running Saola."""

    def __init__(self, certs):
        self.certs = certs
        self.servers = []
        self.directories = []

    def __call__(self, *arguments, wait=True, **options):
        directory = self.directory()
        server = Saola(directory, self.certs, *arguments, **options)
        self.servers.append(server)
        return server.wait_ready() if wait else server

    def directory(self):
        """A new directory for one server; short-named, for Unix sockets in it (108 bytes)."""
        directory = tempfile.mkdtemp(prefix="saola-")
        os.chmod(directory, 0o755)
        self.directories.append(directory)
        return directory

    def finish(self):
        problems = []
        for server in self.servers:
            try:
                server.finish()
            except AssertionError as error:
                problems.append(str(error))
        for directory in self.directories:
            shutil.rmtree(directory, ignore_errors=True)
        assert not problems, "\n".join(problems)


@pytest.fixture
def saola(certs):
    """Factory for servers, each stopped and checked after the test."""
    factory = SaolaFactory(certs)
    yield factory
    factory.finish()


@pytest.fixture
def release():
    """The path of the release binary: memory under a sanitizer would say nothing."""
    path = release_binary()
    if not os.access(path, os.X_OK):
        pytest.skip(f"no release build at {path}")
    return path


def pytest_runtest_setup(item):
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the server's log."""
    outcome = yield
    report = outcome.get_result()
    factory = getattr(item, "funcargs", {}).get("saola")
    if report.failed and report.when == "call" and factory is not None:
        for server in factory.servers:
            report.sections.append((f"error log of {server.pid}", server.log()[-20000:]))
