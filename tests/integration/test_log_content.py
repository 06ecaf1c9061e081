"""What the logs have and leave out: samples, routes, secrets; the documented keys."""

import json
import re

import pytest

from support.http_client import ConnectionBroken
from support.server import ROOT
from support.waiting import wait_for

JSON_LOG = {"access": "-", "access_format": "json"}
SECRETS = [("Authorization", "Basic c2VjcmV0OnNlY3JldA=="), ("Cookie", "sid=c2VjcmV0")]


def json_lines(server):
    return [json.loads(line) for line in server.stdout().splitlines()]


def wait_target(server, target):
    def find():
        return [r for r in json_lines(server) if r["target"] == target]
    return wait_for(find, f"{target} in the access log")[-1]


def test_a_sampled_log_has_every_error(saola):
    server = saola(config={"log": JSON_LOG | {"access_sample": "0%"}})
    with server.connect() as client:
        for number in range(50):
            assert client.exchange(target=f"/hello?{number}").status == 200
            assert client.exchange(target=f"/status/404?{number}").status == 404
        for status in (500, 503, 599):
            assert client.exchange(target=f"/status/{status}?body=x").status == status
    wait_target(server, "/status/599?body=x")
    assert [r["status"] for r in json_lines(server)] == [500, 503, 599]


def test_a_sampled_log_has_its_share(saola):
    server = saola(config={"log": JSON_LOG | {"access_sample": "25%"}})
    with server.connect() as client:
        for number in range(1000):
            assert client.exchange(target=f"/hello?{number}").status == 200
        client.exchange(target="/status/500")
    wait_target(server, "/status/500")
    # 250 with a standard deviation of 14; what is asserted is seven of them away.
    assert 150 < len(json_lines(server)) < 350


def test_a_route_can_stay_out_of_the_log(saola):
    server = saola(config={"log": JSON_LOG, "route": [
        {"path": "/hello", "access_log": False}, {"path": "/"}]})
    with server.connect() as client:
        assert client.exchange(target="/hello?quiet").status == 200
        assert client.exchange(target="/pid?loud").status == 200
    wait_target(server, "/pid?loud")
    assert len(json_lines(server)) == 1


def test_secrets_stand_in_no_log(saola):
    shown = ("%(r)s %(q)s %(f)s %({authorization}i)s %({cookie}i)s %({set-cookie}o)s "
             "%({HTTP_COOKIE}e)s %({HTTP_AUTHORIZATION}e)s %(target)s %(u)s end")
    server = saola("printing_wsgi:application", config={"log": {
        "access": "-", "access_format": shown, "redact": ["authorization", "cookies", "query"]}})
    server.get("/path?token=c2VjcmV0", [*SECRETS, ("Referer", "https://r/?t=c2VjcmV0")])
    [line] = wait_for(lambda: server.stdout().splitlines(), "the access line")
    hidden = "[redacted]"
    assert line == (f"GET /path?{hidden} HTTP/1.1 {hidden} https://r/?{hidden} {hidden} {hidden} "
                    f"{hidden} {hidden} {hidden} /path?{hidden} secret end")
    server.wait_log("all of it is printed")
    log = server.log()
    assert "c2VjcmV0" not in log, log
    assert re.search(r"'HTTP_COOKIE': '\[redacted\]'", log)
    assert re.search(r"Authorization: \[redacted\]", log)
    assert "GET /path?[redacted]" in log


def test_without_redaction_the_atoms_say_what_was_sent(saola):
    server = saola(config={"log": {"access": "-", "access_format": "%({cookie}i)s %(q)s"}})
    server.get("/hello?token=1", SECRETS)
    assert wait_for(lambda: server.stdout().splitlines(), "the line") == ["sid=c2VjcmV0 token=1"]


def test_every_key_of_the_json_log_is_documented_and_right(saola):
    server = saola(config={"log": JSON_LOG})
    with server.connect() as client:
        client.exchange("POST", "/echo?first", [("User-Agent", "a"), ("Referer", "r"),
                                                ("X-Request-ID", "the-one")], b"12345")
        client.exchange(target="/hello?second")
    first, second = wait_target(server, "/echo?first"), wait_target(server, "/hello?second")
    documented = re.search(r"## json\n(.*?)\n## ", (ROOT / "docs/logging.md").read_text(), re.S)[1]
    assert list(first) == re.findall(r"^\| `(\w+)` \|", documented, re.M)
    assert first | {"time": 0, "client_port": 0, "duration": 0, "queue": 0, "app_time": 0,
                    "host": 0} == {
        "time": 0, "client": "127.0.0.1", "client_port": 0, "method": "POST", "scheme": "https",
        "host": 0, "target": "/echo?first", "protocol": "HTTP/1.1", "status": 200,
        "request_bytes": 5, "response_bytes": 5, "duration": 0, "queue": 0, "app_time": 0,
        "request_id": "the-one", "app": "app", "worker": 1, "worker_pid": server.workers()[0],
        "generation": 1, "retries": 0, "upstream": "complete", "outcome": "ok", "tls": "TLSv1.3",
        "referer": "r", "user_agent": "a"}
    assert 0 <= first["queue"] <= first["queue"] + first["app_time"] <= first["duration"] + 0.001
    # Nothing of the request before it on the same connection.
    assert second["request_bytes"] == 0 and second["referer"] is None


def test_how_far_the_worker_came(saola):
    server = saola(config={"log": JSON_LOG, "limits": {"retries": 0}})
    assert server.get("/kill?silent").status == 502
    assert wait_target(server, "/kill?silent")["upstream"] == "silent"
    with pytest.raises(ConnectionBroken):
        server.get("/fail?when=body")
    assert wait_target(server, "/fail?when=body")["upstream"] == "begun"
    with server.connect() as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert client.response().status == 400
    [refused] = wait_for(lambda: [r for r in json_lines(server) if r["status"] == 400], "its line")
    assert refused["upstream"] is None
