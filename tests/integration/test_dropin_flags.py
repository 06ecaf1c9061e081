"""Drop-in mode: gunicorn's command line, compared with gunicorn's own reading of it, and served."""

import contextlib
import io
import os
import re
import subprocess
import tomllib

import pytest

from support.server import APPS, SANITIZERS, binary

config = pytest.importorskip("gunicorn.config")


def run(arguments, directory, environment=None):
    """The finished process of one command."""
    clean = {k: os.environ[k] for k in ("PATH", "HOME", "TMPDIR") if k in os.environ}
    clean |= {k: v.format(log=directory / "sanitizer") for k, v in SANITIZERS.items()}
    done = subprocess.run([binary(), *arguments], cwd=directory, env=clean | (environment or {}),
                          capture_output=True, text=True, timeout=60)
    assert not list(directory.glob("sanitizer.*")), done.stderr
    return done


def printed(arguments, directory, environment=None):
    """The configuration that a drop-in command line comes to."""
    done = run(["app:application", "--print-config", *arguments], directory, environment)
    assert done.returncode == 0, done.stderr
    return tomllib.loads(done.stdout)


def gunicorn_reads(arguments):
    """What gunicorn's parser gives, or None if it refuses."""
    parser = config.Config("%(prog)s [OPTIONS] [APP_MODULE]").parser()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            given = vars(parser.parse_args(arguments))
    except SystemExit:
        return None
    return {name: value for name, value in given.items() if value is not None}


def seconds(text):
    """The number of seconds of a duration as the configuration prints it: 1h30m, 75s."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(n) * units[u] for n, u in re.findall(r"(\d+)([hms])", text))


def test_every_flag_of_gunicorn_is_known(tmp_path):
    listed = run(["app:application", "--help"], tmp_path).stdout
    for setting in config.KNOWN_SETTINGS:
        for flag in setting.cli or ():
            assert re.search(rf"(?m)(^ | ){re.escape(flag)}( |$)", listed), flag


SAME_READING = [
    ["-w", "3"], ["-w3"], ["--workers=3"], ["--worker", "3"], ["--workers", "x"], ["-w"],
    ["--threads", "1_0"], ["--threads", "0x10"], ["-m", "022"], ["-m", "09"], ["-m", "0x12"],
    ["--access-logform", "%(h)s"], ["--log", "x"], ["--log-file=-"], ["--limit-request-field", "9"],
    ["--limit-request-field_size", "99"], ["--limit-request-field_", "99"], ["-b", ":1", "-b:2"],
    ["-e", "A=1", "-eB=-x"], ["-e", "-x"], ["-e", "-x y=1"], ["--preload=1"],
    ["-Rw3"], ["-R3"], ["--wrokers", "3"], ["-x"], ["--proxy-protocol"], ["--proxy-protocol", "v2"],
    ["--chdir="], ["--max-requests", "1000", "--max-requests-jitter", "50"], ["--max", "5"],
    ["--no-send"], ["--keep", "5"], ["--graceful-timeout", "+5"], ["-t120"],
    ["--timeout", "0"], ["--time", "5"], ["-k", "sync", "-k", "gthread"],
]


@pytest.mark.parametrize("arguments", SAME_READING, ids=" ".join)
def test_reads_flags_as_argparse_does(arguments, tmp_path):
    reading = gunicorn_reads(["app:application", *arguments])
    done = run(["app:application", "--print-config", *arguments], tmp_path)
    if reading is None:
        assert done.returncode == 2, done.stdout
        assert "error: " in done.stderr
        return
    assert done.returncode == 0, done.stderr
    toml = tomllib.loads(done.stdout)
    app, limits = toml["app"], toml["limits"]
    shown = {
        "workers": app["workers"], "threads": app["threads"], "raw_env": sorted(app["env"]),
        "bind": [listen["address"] for listen in toml["listen"]],
        "access_log_format": toml["log"]["access_format"], "errorlog": toml["log"]["error"],
        "max_requests": app["max_requests"], "max_requests_jitter": app["max_requests_jitter"],
        "timeout": seconds(app["hang_timeout"]),
        "keepalive": seconds(limits["keepalive_timeout"]),
        "graceful_timeout": seconds(toml["server"]["graceful_timeout"]),
        "umask": int(str(toml["server"]["umask"]), 8),
    }
    reading["raw_env"] = sorted(entry.split("=")[0] for entry in reading.get("raw_env", []))
    for name in shown.keys() & reading.keys():
        assert shown[name] == reading[name], name


def test_precedence_is_gunicorns(tmp_path):
    environment = {"GUNICORN_CMD_ARGS": "-w 5 --threads=7 -e 'A=b c' --access-logformat '%(h)s \"x\"'",
                   "WEB_CONCURRENCY": "9", "PORT": "9000", "FORWARDED_ALLOW_IPS": "10.0.0.0/8"}
    toml = printed(["-w", "2"], tmp_path, environment)
    assert toml["app"]["workers"] == 2
    assert toml["app"]["threads"] == 7
    assert list(toml["app"]["env"]) == ["A"]
    assert toml["log"]["access_format"] == '%(h)s "x"'
    assert toml["listen"][0]["address"] == "0.0.0.0:9000"
    assert toml["listen"][0]["trusted"] == ["10.0.0.0/8", "unix"]


def test_what_it_prints_can_be_served(tmp_path):
    done = run(["app:application", "--print-config", "-b", ":1", "-b", "unix:x", "-w", "3"], tmp_path)
    (tmp_path / "saola.toml").write_text(done.stdout)
    again = run(["config"], tmp_path)
    assert again.returncode == 0, again.stderr
    assert tomllib.loads(again.stdout) == tomllib.loads(done.stdout)


def test_refuses_what_would_be_less_safe(tmp_path):
    for arguments, flag in [(["--cert-reqs", "2"], "--cert-reqs"), (["--ca-certs", "x"], "--ca-certs"),
                            (["-c", "conf.py"], "--config")]:
        done = run(["app:application", *arguments], tmp_path)
        assert done.returncode == 2
        assert f"saola: error: {flag}: " in done.stderr


def test_a_python_configuration_file_stops_the_start(tmp_path):
    (tmp_path / "gunicorn.conf.py").write_text("workers = 3\n")
    done = run(["app:application"], tmp_path)
    assert done.returncode == 2
    assert "gunicorn.conf.py" in done.stderr


def test_check_config_imports_the_application(tmp_path):
    chdir = ["--chdir", str(APPS)]
    assert run(["raw_wsgi:application", "--check-config", *chdir], tmp_path).returncode == 0
    missing = run(["raw_wsgi:nothing", "--check-config", *chdir], tmp_path)
    assert missing.returncode == 1
    assert "nothing" in missing.stderr


@pytest.mark.parametrize("app", ["raw_wsgi:application", "raw_asgi:application"])
def test_serves_the_platforms_command_line(saola, certs, app, tmp_path):
    server = saola(listen=[{"tls": certs.ecdsa.toml()}], arguments=[
        app, "-b", "{listen0}", "-w", "2", "-k", "uvicorn.workers.UvicornWorker",
        "--certfile", certs.ecdsa.certificate, "--keyfile", certs.ecdsa.key, "--threads", "2",
        "--timeout", "120", "--graceful-timeout", "20", "--keep-alive", "5", "--max-requests", "1000",
        "--max-requests-jitter", "50", "--access-logfile", "-", "--log-level", "info",
        "--chdir", str(APPS), "-e", "K=V", "--pid", str(tmp_path / "saola.pid"), "--preload", "--backlog", "512",
        "--worker-connections", "100", "--limit-request-line", "4094"])
    server.wait_workers(2)
    answer = server.get("/")
    assert answer.status == 200
    assert answer.body == b"Hello, World!"
    assert server.get("/?" + "x" * 5000).status == 414
    assert server.log().count("has imported the app") == 1
    assert "no effect" not in server.log()
    server.stop()
    assert re.search(r'^127\.0\.0\.1 - - \[.*\] "GET / HTTP/1\.1" 200 13 "-" "', server.stdout(), re.M)


def test_gunicorn_cmd_args_alone_choose_the_listener(saola):
    server = saola(listen=[{}], arguments=["raw_wsgi:application", "--bind={listen0}"],
                   env={"GUNICORN_CMD_ARGS": f"--chdir {APPS} -w 1 --access-logfile=-"})
    assert server.get("/").status == 200


def test_an_application_that_cannot_be_imported_exits_with_three(tmp_path):
    done = run(["missing_module:app", "-b", "unix:a.sock"], tmp_path)
    assert done.returncode == 3
    assert "missing_module" in done.stderr
