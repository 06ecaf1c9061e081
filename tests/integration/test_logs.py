"""Access log and error log: what a line says, and that no log ever holds up a request."""

import json
import os
import re

import pytest

from support.waiting import wait_for


def lines(path, count):
    return wait_for(lambda: (found := path.read_text().splitlines() if path.exists() else [])
                    and len(found) >= count and found, f"{count} lines in {path}")


def test_combined_to_standard_output(saola):
    server = saola(config={"log": {"access": "-"}})
    server.exchange("POST", "/echo?a=b", [("User-Agent", "test/1.0"), ("Referer", "https://r/")],
                    b"12345")
    [line] = lines(server.stdout_path, 1)
    assert re.fullmatch(
        r'127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] '
        r'"POST /echo\?a=b HTTP/1\.1" 200 5 "https://r/" "test/1\.0".*', line), line


def test_json_to_a_file(saola):
    server = saola(config={"log": {"access": "access.log", "access_format": "json"}})
    answer = server.get("/pid?x=1", [("X-Request-ID", "given.by-client_1")])
    [line] = lines(server.directory / "access.log", 1)
    record = json.loads(line)
    assert record["status"] == 200 and record["method"] == "GET"
    assert "given.by-client_1" in record.values()
    assert int(answer.body) in record.values()  # which worker had it


def test_gunicorns_atoms(saola):
    format_ = "%(h)s %(m)s %(U)s %(q)s %(H)s %(s)s %(B)s %({x-test}i)s %({content-type}o)s %(L)s %(p)s"
    server = saola(config={"log": {"access": "-", "access_format": format_}})
    server.get("/hello?q=1", [("X-Test", "value")])
    [line] = lines(server.stdout_path, 1)
    words = line.split(" ")
    assert words[:9] == ["127.0.0.1", "GET", "/hello", "q=1", "HTTP/1.1", "200", "13", "value",
                         "text/plain"]
    assert float(words[9]) >= 0


def test_control_bytes_are_escaped(saola):
    server = saola(config={"log": {"access": "-"}})
    server.get("/%0d%0afake", [("User-Agent", 'quote " back \\ slash \xe9')])
    server.get("/second")
    found = lines(server.stdout_path, 2)
    assert len(found) == 2
    assert found[0].isascii() and found[0].count('"') == 6


def test_refused_requests_are_logged_too(saola):
    server = saola(config={"log": {"access": "-"}})
    with server.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        answer = client.response()
        assert answer.status == 400
    [line] = lines(server.stdout_path, 1)
    assert " 400 " in line


@pytest.mark.parametrize("sent, kept", [
    ("abc-DEF_0.9", True), ("a" * 128, True), ("a" * 129, False), ("two words", False),
    ("injected\\n", False), ("", False),
])
def test_request_ids_are_kept_if_harmless(saola, sent, kept):
    server = saola()
    answer = server.get("/environ", [("X-Request-ID", sent)])
    given = answer.get("x-request-id")
    assert (given == sent) == kept
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", given)
    assert answer.json()["HTTP_X_REQUEST_ID"] == given


@pytest.mark.parametrize("app", ["raw_wsgi:application", "raw_asgi:application"])
def test_a_traceback_is_in_the_error_log_with_the_request_id(saola, app):
    server = saola(app)
    answer = server.get("/fail")
    assert answer.status == 500 and "Traceback" not in answer.text
    server.wait_log("RuntimeError: raised before the head")
    server.wait_log("request=" + re.escape(answer.get("x-request-id")))
    assert "in fail" in server.log()


def test_what_an_app_prints_is_in_the_error_log(saola):
    server = saola()
    server.get("/output?text=pear")
    for source in ("stdout", "stderr", "errors"):
        server.wait_log(f"{source} pear")


def test_the_level_filters(saola):
    quiet = saola(config={"log": {"level": "critical"}}, wait=False)
    wait_for(lambda: _serves(quiet), "the quiet server")
    assert " info " not in quiet.log()


def _serves(server):
    try:
        return server.get().status == 200
    except OSError:
        return False


def test_a_stalled_reader_of_standard_output_stalls_no_request(saola):
    """The pipe is full and nobody reads; lines are dropped, requests are not."""
    read_end, write_end = os.pipe()
    try:
        server = saola(config={"log": {"access": "-"}}, stdout=write_end)
        with server.connect() as client:
            long = "x" * 2000
            for number in range(400):  # 800 KB of log against 64 KiB of pipe
                assert client.exchange(target=f"/hello?{number}&{long}").status == 200
        # The descriptor is shared with others (a shell, a supervisor): its flags are not touched.
        assert os.get_blocking(write_end)
        server.stop()
    finally:
        os.close(read_end)
        os.close(write_end)


def test_a_reader_of_standard_output_that_left_is_no_reason_to_stop(saola):
    read_end, write_end = os.pipe()
    server = saola(config={"log": {"access": "-"}}, stdout=write_end)
    os.close(read_end)
    os.close(write_end)
    for _ in range(20):
        assert server.get().status == 200


def test_error_log_to_a_file(saola):
    server = saola(config={"log": {"error": "errors.log"}}, wait=False)
    wait_for(lambda: _serves(server), "the server")
    assert server.get("/fail").status == 500
    wait_for(lambda: "raised before the head" in (server.directory / "errors.log").read_text(),
             "the traceback in the file")
