"""PEP 3333 as an application sees it."""

import os
import threading

import pytest

from support import processes
from support.http_client import ConnectionBroken
from support.server import APPS


def test_environ(saola):
    server = saola(config={"app": {"threads": 1}})
    environ = server.exchange("GET", "/environ/caf%C3%A9/%2Fx?a=%20b&c", [
        ("X-One", "1"), ("X-Many", "a"), ("X-Many", "b"), ("Cookie", "a=1"), ("Cookie", "b=2"),
        ("Content-Type", "text/x")]).json()
    expected = {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "QUERY_STRING": "a=%20b&c",
        "PATH_INFO": "/environ/café//x".encode().decode("latin-1"),
        "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1", "CONTENT_TYPE": "text/x",
        "HTTP_X_ONE": "1", "HTTP_X_MANY": "a,b", "HTTP_COOKIE": "a=1; b=2", "HTTP_HOST": "localhost",
        "wsgi.url_scheme": "https", "wsgi.version": [1, 0], "wsgi.multithread": False,
        "wsgi.run_once": False,
    }
    many = environ["HTTP_X_MANY"]
    environ["HTTP_X_MANY"] = many.replace(", ", ",")
    assert {key: environ.get(key) for key in expected} == expected
    assert environ["SERVER_PORT"] and environ["SERVER_NAME"] and environ["REMOTE_PORT"].isdigit()
    assert "HTTP_CONTENT_TYPE" not in environ


def test_content_length_of_a_chunked_body_is_known(saola):
    """The edge has it whole before the worker gets it; apps that look at CONTENT_LENGTH see it all."""
    server = saola()
    with server.connect() as client:
        client.request("POST", "/environ", [("Transfer-Encoding", "chunked")],
                       b"3\r\nabc\r\n0\r\n\r\n")
        environ = client.response().json()
    assert environ.get("CONTENT_LENGTH") == "3" or environ.get("wsgi.input_terminated")


@pytest.mark.parametrize("size", [10, 200_000], ids=["in-memory", "spooled"])
@pytest.mark.parametrize("query", ["", "?readlines"])
def test_lines_of_the_input(saola, size, query):
    server = saola()
    text = "".join(f"line {n}\n" for n in range(size // 10)) + "no newline"
    assert server.exchange("POST", "/lines" + query, body=text.encode()).json() \
        == text.splitlines(keepends=True)


def test_the_input_ends_where_the_body_ends(saola):
    server = saola()
    with server.connect() as client:
        client.request("POST", "/echo", body=b"body")
        client.request("GET", "/pid")
        assert client.response().body == b"body"
        assert client.response().status == 200


def test_write_and_returned_parts_come_in_order(saola):
    assert saola().get("/write").body == b"written, returned"


@pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_000])
def test_file_wrapper(saola, tmp_path, size):
    data = os.urandom(size)
    path = tmp_path / "served"
    path.write_bytes(data)
    assert saola().get(f"/file?path={path}").body == data


def test_close_is_called_once_everything_is_handed_over(saola):
    server = saola()
    assert len(server.get("/closing?name=closed&count=3").body) == 3 * 65536
    server.wait_gate("closed")


@pytest.mark.parametrize("when", ["before", "started"])
def test_an_exception_before_the_body_is_a_plain_500(saola, when):
    server = saola()
    with server.connect() as client:
        answer = client.exchange(target=f"/fail?when={when}")
        assert answer.status == 500 and answer.get("x-request-id") in answer.text
        assert client.exchange().status == 200
    server.wait_log("Traceback")


def test_an_exception_within_the_body_breaks_the_answer_off(saola):
    server = saola()
    with server.connect() as client:
        client.request(target="/fail?when=body")
        with pytest.raises(ConnectionBroken):
            answer = client.response()
            # Nothing had left yet: then a 500 instead is better still.
            assert answer.status == 500
            raise ConnectionBroken("answered 500")
    server.wait_log("RuntimeError: raised within the body")
    assert server.get().status == 200


def test_start_response_with_exc_info_replaces_the_head(saola):
    answer = saola().get("/fail?when=recovers")
    assert (answer.status, answer.reason, answer.body) == (500, "Recovered", b"recovered")


def test_reason_phrases_are_the_apps(saola):
    answer = saola().get("/status/299")
    assert (answer.status, answer.reason) == (299, "Whatever")


def test_threads_run_requests_at_once(saola):
    server = saola(config={"app": {"threads": 4}})
    clients = [server.connect() for _ in range(4)]
    for number, client in enumerate(clients):
        client.request(target=f"/gate?name=gate{number}")
    facts = [server.wait_gate(f"gate{number}") for number in range(4)]
    assert len({fact["thread"] for fact in facts}) == 4 and len({fact["pid"] for fact in facts}) == 1
    for number, client in enumerate(clients):
        server.open_gate(f"gate{number}")
        assert client.response().status == 200
        client.close()


def test_one_thread_runs_requests_one_by_one_on_the_main_thread(saola):
    server = saola()
    with server.connect() as client:
        client.request(target="/gate?name=main")
        facts = server.wait_gate("main")
        server.open_gate("main")
        client.response()
    assert facts["thread"] == facts["pid"]


def test_root_path_becomes_script_name(saola):
    server = saola(config={"app": {"root_path": "/below"}})
    environ = server.get("/environ").json()
    assert environ["SCRIPT_NAME"] == "/below"


def test_env_and_venv_and_directory(saola, framework_venv):
    server = saola("described:application", config={"app": {
        "venv": framework_venv, "env": {"COLOUR": "blue"}}})
    facts = server.get().json()
    assert facts["prefix"] == framework_venv and facts["COLOUR"] == "blue"
    assert facts["cwd"] == str(APPS) and facts["path"][0] == str(APPS)
    site = f"{framework_venv}/lib/python{facts['version']}/site-packages"
    assert site in facts["path"]


def test_the_first_python_on_path_does_not_matter(saola, tmp_path):
    """An embedded interpreter left alone takes its prefix from there."""
    fake = tmp_path / "python3"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    server = saola("described:application", env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert server.get().json()["base_prefix"] == "/usr"


@pytest.mark.parametrize("target", ["factories:make_wsgi()", "factories:holder.wsgi",
                                    "factories:make_asgi()", "factories:AsgiClass"])
def test_targets(saola, target):
    assert saola(target).get().body == target.encode()


def test_workers_share_the_load(saola):
    server = saola(config={"app": {"workers": 3, "prefetch": 0}})
    clients = [server.connect() for _ in range(3)]
    for number, client in enumerate(clients):
        client.request(target=f"/gate?name=gate{number}")
    pids = {server.wait_gate(f"gate{number}")["pid"] for number in range(3)}
    assert pids == set(server.wait_workers(3))
    for number, client in enumerate(clients):
        server.open_gate(f"gate{number}")
        assert client.response().status == 200
        client.close()


def test_a_prefetched_request_is_taken_back_when_another_worker_idles(saola):
    """Promise 3: no idle worker watches a queue."""
    server = saola(config={"app": {"workers": 2, "prefetch": 16}})
    clients = [server.connect() for _ in range(2)]
    for number, client in enumerate(clients):
        client.request(target=f"/gate?name=gate{number}")
        server.wait_gate(f"gate{number}")
    waiting = [server.connect() for _ in range(8)]
    for client in waiting:
        client.request(target="/pid")
    server.open_gate("gate0")  # one worker becomes free; the other stays stuck
    assert clients[0].response().status == 200
    free = server.wait_gate("gate0")["pid"]
    for client in waiting:
        assert int(client.response().body) == free
        client.close()
    server.open_gate("gate1")
    assert clients[1].response().status == 200
    for client in clients:
        client.close()


def test_many_clients_at_once(saola):
    server = saola(config={"app": {"workers": 2, "threads": 2}})
    failures = []

    def one(number):
        try:
            with server.connect() as client:
                for turn in range(20):
                    body = f"{number}.{turn}".encode() * 100
                    if client.exchange("POST", "/echo", body=body).body != body:
                        failures.append((number, turn))
        except Exception as error:
            failures.append((number, repr(error)))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.memory
def test_memory_does_not_grow_with_the_number_of_requests(saola, release):
    """Neither by 16 bytes for each request, as a list of the edge's once did."""
    server = saola(program=release, tls=False, config={"limits": {"keepalive_requests": 0}})
    [worker], edge = server.wait_workers(1), server.edge()

    def batch():
        with server.connect() as client:
            for _ in range(400):
                for _ in range(25):
                    client.request("POST", "/echo", [("X-A", "b" * 50)], b"x" * 100)
                for _ in range(25):
                    assert client.response().status == 200
        return processes.pss_bytes(worker), processes.pss_bytes(edge)

    batch()
    before, after = batch(), batch()
    assert after[0] - before[0] < 200_000 and after[1] - before[1] < 100_000, (before, after)
