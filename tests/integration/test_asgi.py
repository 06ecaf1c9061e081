"""ASGI 3.0 (HTTP and lifespan) as an application sees it."""

import json

import pytest

from support.http_client import ConnectionBroken

APP = "raw_asgi:application"


def test_scope(saola):
    server = saola(APP)
    scope = server.get("/scope/caf%C3%A9/%2Fx?a=%20b", [
        ("X-One", "1"), ("X-Many", "a"), ("X-Many", "b")]).json()
    assert scope["type"] == "http" and scope["asgi"]["version"] == "3.0"
    assert scope["asgi"]["spec_version"] >= "2.3"
    assert scope["http_version"] == "1.1" and scope["method"] == "GET"
    assert scope["scheme"] == "https" and scope["root_path"] == ""
    assert scope["path"] == "/scope/café//x" and scope["raw_path"] == "/scope/caf%C3%A9/%2Fx"
    assert scope["query_string"] == "a=%20b"
    assert scope["client"][0] == "127.0.0.1" and scope["server"][1] == server.port
    names = [name for name, _ in scope["headers"]]
    assert all(name == name.lower() for name in names)
    assert [v for n, v in scope["headers"] if n == "x-many"] == ["a", "b"]


def test_lifespan_state_reaches_requests_and_shutdown_is_called(saola):
    server = saola(APP)
    assert server.get("/scope").json()["state"] == {"started": "by lifespan"}
    server.stop()
    assert (server.gates / "lifespan-shutdown.started").exists()


def test_failed_startup_stops_the_start(saola):
    server = saola(APP, env={"FAIL_STARTUP": "1"}, wait=False)
    server.expected_exit = 3
    assert server.wait_exit() == 3
    assert "the cupboard is bare" in server.log()


def test_an_app_without_lifespan_is_served(saola):
    assert saola("hello_asgi:application").get().body == b"Hello, World!"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_loops(saola, framework_venv, loop):
    server = saola(APP, config={"app": {"loop": loop, "venv": framework_venv}})
    with server.connect() as client:
        for _ in range(20):
            assert client.exchange("POST", "/echo", body=b"x" * 5000).body == b"x" * 5000


def test_requests_run_at_once(saola):
    server = saola(APP)
    clients = [server.connect() for _ in range(20)]
    for number, client in enumerate(clients):
        client.request(target=f"/gate?name=gate{number}")
    for number in range(20):
        server.wait_gate(f"gate{number}")
    for number, client in enumerate(clients):
        server.open_gate(f"gate{number}")
        assert client.response().body == f"gate{number}".encode()
        client.close()


def test_concurrency_is_the_limit_of_a_worker(saola):
    server = saola(APP, config={"app": {"concurrency": 2, "prefetch": 0}})
    clients = [server.connect() for _ in range(3)]
    for number, client in enumerate(clients[:2]):
        client.request(target=f"/gate?name=gate{number}")
        server.wait_gate(f"gate{number}")
    clients[2].request(target="/gate?name=gate2")
    clients[2].sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        clients[2].response()
    assert not (server.gates / "gate2.started").exists()
    server.open_gate("gate0")
    server.wait_gate("gate2")
    for number, client in enumerate(clients):
        server.open_gate(f"gate{number}")
        client.sock.settimeout(30)
        assert client.response().status == 200
        client.close()


@pytest.mark.parametrize("path", ["/fail?when=before", "/silent"])
def test_no_head_is_a_plain_500(saola, path):
    server = saola(APP)
    with server.connect() as client:
        answer = client.exchange(target=path)
        assert answer.status == 500 and answer.get("x-request-id") in answer.text
        assert client.exchange().status == 200


@pytest.mark.parametrize("when", ["body", "returns"])
def test_an_answer_that_is_not_finished_is_broken_off(saola, when):
    server = saola(APP)
    with server.connect() as client:
        client.request(target=f"/fail?when={when}")
        with pytest.raises(ConnectionBroken):
            answer = client.response()
            assert answer.status == 500
            raise ConnectionBroken("answered 500")
    assert server.get().status == 200


def test_a_blocked_loop_does_not_break_others(saola):
    """While one request blocks the loop, others wait; afterwards all are answered."""
    server = saola(APP)
    clients = [server.connect() for _ in range(10)]
    for client in clients:
        client.request(target="/busy?ms=50")
    for client in clients:
        assert client.response().status == 200
        client.close()


def test_every_message_of_a_body_is_bytes_in_order(saola):
    server = saola(APP)
    body = bytes(range(256)) * 2000
    assert server.exchange("POST", "/echo", body=body).body == body
    answer = server.exchange("POST", "/sha256", body=body).json()
    assert answer["size"] == len(body)


def test_json_with_unicode(saola):
    server = saola(APP)
    sent = json.dumps([["x-text", "na\u00efve"]]).encode()
    assert server.exchange("POST", "/headers", body=sent).get("x-text") == "na\u00efve"
