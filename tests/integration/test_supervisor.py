"""The supervisor: processes start, are watched and replaced, and end."""

import grp
import os
import pwd
import resource
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from support import processes
from support.http_client import Client
from support.server import APPS
from support.waiting import wait_for

BOOTS = "boots:application"


def status_of(pid, name):
    """One line of /proc/PID/status, without its name."""
    text = Path(f"/proc/{pid}/status").read_text()
    return re.search(rf"^{name}:\s*(.*)$", text, re.MULTILINE).group(1)


def is_zombie(pid):
    try:
        return status_of(pid, "State").startswith("Z")
    except FileNotFoundError:  # reaped since it was found
        return False


def group_of(pid):
    return os.getpgid(pid)


def open_gates(saola, *names):
    """A directory of gates that are open from the start."""
    directory = Path(saola.directory())
    directory.chmod(0o777)
    for name in names:
        (directory / f"{name}.open").touch()
    return str(directory)


# -- starting


def test_processes_have_titles_and_groups_of_their_own(saola):
    server = saola(config={"app": {"workers": 2}})
    edge, workers = server.edge(), server.wait_workers(2)
    assert processes.title(edge) == "saola: edge"
    assert sorted(map(processes.title, workers)) == ["saola: worker app 1", "saola: worker app 2"]
    for pid in (edge, *workers):
        assert group_of(pid) == pid, "a terminal's Ctrl-C must reach the supervisor alone"
        assert status_of(pid, "NoNewPrivs") == "1"


def test_a_process_name_is_part_of_the_titles(saola):
    server = saola(config={"app": {"process_name": "shop"}})
    assert processes.title(server.edge()) == "saola: edge [shop]"
    assert processes.title(server.workers()[0]) == "saola: worker app 1 [shop]"


def test_the_log_says_what_runs(saola):
    server = saola(config={"app": {"workers": 2}})
    log = server.log()
    assert re.search(r"saola \d+\.\d+\.\d+ starts \(pid %d, " % server.pid, log)
    assert f"listening on https://127.0.0.1:{server.port}" in log
    assert re.search(r"ready after \d+\.\d\d s: app: 2 workers \(wsgi\)", log)


def test_workers_hold_no_listening_socket_and_no_other_workers_socket(saola):
    server = saola(config={"app": {"workers": 2}})

    def sockets(pid):
        links = (f"/proc/{pid}/fd/{entry}" for entry in os.listdir(f"/proc/{pid}/fd"))
        return {os.readlink(link) for link in links if os.readlink(link).startswith("socket:")}

    one, two = map(sockets, server.wait_workers(2))
    assert one and two and not one & two
    listening = {line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
                 if int(line.split()[1].split(":")[1], 16) == server.port and line.split()[3] == "0A"}
    assert listening and not {f"socket:[{inode}]" for inode in listening} & (one | two)


def test_descriptor_limit_is_raised_to_the_hard_limit(saola):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    def low_soft_limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))

    server = saola(preexec=low_soft_limit)
    for pid in (server.pid, server.edge(), *server.workers()):
        assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (min(hard, 1 << 20), hard)


def test_an_app_that_cannot_be_imported_ends_the_start_with_its_traceback_and_code_3(saola):
    directory = Path(saola.directory())
    (directory / "broken.py").write_text("import no_such_module_anywhere\n")
    server = saola("broken:application", wait=False,
                   config={"app": {"directory": str(directory), "workers": 3}})
    server.expected_exit = 3
    assert server.wait_exit() == 3
    assert server.log().count("No module named 'no_such_module_anywhere'") == 1
    assert f'File "{directory}/broken.py", line 1' in server.log()


def test_the_traceback_reaches_standard_error_too_when_the_log_is_a_file(saola):
    log = Path(saola.directory()) / "error.log"
    server = saola("no_such_module_anywhere:application", wait=False,
                   config={"log": {"error": str(log)}})
    server.expected_exit = 3
    assert server.wait_exit() == 3
    for text in (log.read_text(), server.log()):
        assert "no_such_module_anywhere" in text


def test_workers_that_die_at_every_start_end_it_with_code_3(saola):
    server = saola(BOOTS, wait=False, env={"GATES": open_gates(saola, "import-dies")})
    server.expected_exit = 3
    assert server.wait_exit() == 3
    assert "died before it could serve: killed by SIGKILL" in server.log()
    assert "its workers die before they can serve" in server.log()


def test_a_start_that_takes_too_long_is_ended(saola):
    server = saola(BOOTS, wait=False, env={"GATES": open_gates(saola, "import-hangs")},
                   config={"app": {"boot_timeout": "1s"}})
    server.wait_log("did not start within its boot_timeout")
    server.wait_log(r"died before it could serve: killed by SIGKILL; a new worker starts in 0\.1 s")


def test_a_certificate_that_cannot_be_read_is_code_4(saola):
    server = saola(listen=[{"tls": {"certificate": "missing.pem", "key": "gone.pem"}}], wait=False)
    server.expected_exit = 4
    assert server.wait_exit() == 4
    assert re.search(r"certificate \S*missing\.pem: No such file or directory", server.log())
    assert re.search(r"key \S*gone\.pem: No such file or directory", server.log())


def test_a_key_of_another_certificate_is_code_4(saola, certs):
    server = saola(listen=[{"tls": {"certificate": certs.one.certificate, "key": certs.two.key}}],
                   wait=False)
    server.expected_exit = 4
    assert server.wait_exit() == 4
    assert "one.crt" in server.log()


def test_every_address_that_is_taken_is_named_and_code_1(saola):
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        taken = [f"127.0.0.1:{s.getsockname()[1]}" for s in (one, two)]
        server = saola(listen=[{"address": address} for address in taken], wait=False)
        server.expected_exit = 1
        assert server.wait_exit() == 1
        for address in taken:
            assert f"address already in use: {address}" in server.log()


def test_an_unknown_user_is_code_4(saola):
    server = saola(config={"server": {"user": "no-such-user"}}, wait=False)
    server.expected_exit = 4
    assert server.wait_exit() == 4
    assert "there is no user 'no-such-user'" in server.log()


# -- privileges


def apps_for_all(saola):
    """The applications where any user can read them: the tree may be in a private home."""
    return str(shutil.copytree(APPS, Path(saola.directory()) / "apps",
                               ignore=shutil.ignore_patterns("__pycache__")))


@pytest.mark.root
def test_root_reads_the_key_and_nobody_serves(saola, certs):
    directory = Path(saola.directory())
    key = shutil.copy(certs.ecdsa.key, directory / "key.pem")
    os.chmod(key, 0o600)
    certificate = shutil.copy(certs.ecdsa.certificate, directory / "certificate.pem")
    server = saola(BOOTS, listen=[{"tls": {"certificate": certificate, "key": key}}],
                   config={"server": {"user": "nobody"}, "app": {"directory": apps_for_all(saola)}})
    nobody = pwd.getpwnam("nobody")
    pid, uid, gid, groups = server.get().text.split(maxsplit=3)
    assert (int(uid), int(gid)) == (nobody.pw_uid, nobody.pw_gid)
    assert groups == str([nobody.pw_gid]), "root's groups are given up"
    four = "\t".join([str(nobody.pw_uid)] * 4)
    for process in (server.edge(), int(pid)):
        assert status_of(process, "Uid") == four
        assert int(status_of(process, "CapEff"), 16) == int(status_of(process, "CapPrm"), 16) == 0
    # A new edge needs the key that it could not read itself.
    processes.kill(server.edge())
    server.wait_log("a new edge listens")
    assert server.get().text.split()[1] == uid


@pytest.mark.root
def test_children_of_another_user_die_with_the_supervisor(saola):
    server = saola(config={"server": {"user": "nobody", "group": "daemon"},
                           "app": {"directory": apps_for_all(saola)}})
    worker = server.workers()[0]
    assert status_of(worker, "Gid").split()[0] == str(grp.getgrnam("daemon").gr_gid)
    die_with_supervisor(server)


# -- deaths


def die_with_supervisor(server):
    children = server.note_processes()
    assert len(children) >= 2
    processes.kill(server.pid)
    server.expected_exit = -signal.SIGKILL
    assert server.wait_exit() == -signal.SIGKILL
    wait_for(lambda: not any(child.alive() for child in children), "the children to die")


def test_kill_9_of_the_supervisor_leaves_no_orphan(saola):
    die_with_supervisor(saola(config={"app": {"workers": 2}}))


def test_a_killed_worker_is_replaced_at_once(saola):
    server = saola(BOOTS)
    [worker] = server.workers()
    for _ in range(3):
        processes.kill(worker)
        dead, worker = worker, int(server.get().text.split()[0])
        assert worker != dead
    # However often: a kill from outside is not the app's fault.
    assert len(re.findall(r"killed by SIGKILL; a new worker starts at once", server.log())) == 3
    assert processes.title(worker) == "saola: worker app 4"


def test_an_app_that_ends_its_process_is_replaced_after_a_growing_wait(saola):
    server = saola(BOOTS, config={"limits": {"retries": 0}})
    for wait in ("0.1", "0.2", "0.4"):
        assert server.get("/exit").status == 502
        server.wait_log(rf"exit code 7; .*a new worker starts in {re.escape(wait)} s")
        assert server.get().status == 200


def test_the_log_says_what_a_dead_worker_was_doing(saola):
    server = saola(BOOTS, config={"limits": {"retries": 0}})
    with server.connect() as client:
        client.request(target="/gate")
        processes.kill(server.wait_gate("request")["pid"])
        assert client.response().status == 502
    server.wait_log("it was running 1 request")


def test_an_app_that_breaks_later_is_tried_again_until_it_works(saola):
    server = saola(BOOTS)
    server.open_gate("import-fails")
    processes.kill(server.workers()[0])
    server.wait_log("ImportError: the import gate says no")
    server.wait_log(r"a new worker starts in 0\.2 s")
    server.wait_log("for the same reason as before")
    assert server.log().count("ImportError: the import gate says no") == 1
    (server.gates / "import-fails.open").unlink()
    assert server.get().status == 200


def test_a_dead_edge_is_replaced_on_the_same_socket(saola):
    server = saola(BOOTS)
    edge, workers = server.edge(), server.workers()
    processes.kill(edge)
    server.wait_log(rf"edge \(pid {edge}\) died after .*killed by SIGKILL")
    with server.connect() as client:  # waits in the socket's queue until the new edge accepts
        assert client.exchange().status == 200
    server.wait_log("a new edge listens")
    assert server.edge() != edge
    assert server.workers() == workers, "they and their state live on"


# -- stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_stop_signal_lets_the_running_request_finish(saola, number):
    server = saola(BOOTS)
    with server.connect() as client:
        client.request(target="/gate")
        server.wait_gate("request")
        processes.kill(server.pid, number)
        server.wait_log("stopping gracefully, within 20 s")
        server.open_gate("request")
        answer = client.response()
        assert (answer.status, answer.get("connection")) == (200, "close")
    assert server.wait_exit() == 0


def test_a_stop_signal_to_every_process_breaks_nothing_off(saola):
    """As systemd does it by default."""
    server = saola(BOOTS, config={"app": {"workers": 2}})
    with server.connect() as client:
        client.request(target="/gate")
        server.wait_gate("request")
        for pid in (server.edge(), *server.workers(), server.pid):
            processes.kill(pid, signal.SIGTERM)
        server.wait_log("stopping gracefully")
        server.open_gate("request")
        assert client.response().status == 200
    assert server.wait_exit() == 0


def test_new_clients_are_refused_while_the_last_requests_finish(saola):
    server = saola(BOOTS)
    with server.connect() as client:
        client.request(target="/gate")
        server.wait_gate("request")
        processes.kill(server.pid, signal.SIGTERM)

        def refused():
            try:
                socket.create_connection(("127.0.0.1", server.port), 1).close()
                return False
            except ConnectionRefusedError:
                return True

        wait_for(refused, "the port to be closed")
        server.open_gate("request")
        assert client.response().status == 200
    assert server.wait_exit() == 0


def test_the_second_signal_stops_at_once(saola):
    server = saola(BOOTS)
    with server.connect() as client:
        client.request(target="/gate")
        server.wait_gate("request")
        processes.kill(server.pid, signal.SIGTERM)
        server.wait_log("stopping gracefully")
        processes.kill(server.pid, signal.SIGINT)
        assert server.wait_exit(10) == 0  # not after graceful_timeout, 20 s
    assert "SIGINT: stopping at once" in server.log()


def test_what_does_not_finish_in_time_is_ended(saola):
    server = saola(BOOTS, config={"server": {"graceful_timeout": "1s"}})
    with server.connect() as client:
        client.request(target="/gate")
        server.wait_gate("request")
        assert server.stop() == 0


def test_a_stop_while_the_app_is_imported_waits_for_nothing(saola):
    server = saola(BOOTS, wait=False, env={"GATES": (gates := open_gates(saola, "import-hangs"))})
    wait_for((Path(gates) / "import.started").exists, "the import")
    assert server.stop(deadline=10) == 0


def test_winch_means_nothing(saola):
    server = saola()
    processes.kill(server.pid, signal.SIGWINCH)
    assert server.get().status == 200


def test_usr1_reopens_the_logs(saola):
    directory = Path(saola.directory())
    error, access = directory / "error.log", directory / "access.log"
    server = saola(wait=False, config={"log": {"error": str(error), "access": str(access)}})
    wait_for(lambda: error.exists() and "ready after" in error.read_text(), "ready")
    assert server.get("/before").status == 404
    wait_for(lambda: "/before" in access.read_text(), "the access log")
    error.rename(directory / "error.1")
    access.rename(directory / "access.1")
    processes.kill(server.pid, signal.SIGUSR1)
    wait_for(lambda: error.exists() and "logs reopened" in error.read_text(), "the new log")

    def after():
        assert server.get("/after").status == 404
        return "/after" in access.read_text()

    def output():
        assert server.get("/output?text=from-the-app").status == 200
        return "from-the-app" in error.read_text()

    wait_for(after, "the edge to write to the new file")
    wait_for(output, "the worker to write to the new file")
    assert oct(error.stat().st_mode & 0o777) == "0o640"
    assert "/before" in (directory / "access.1").read_text()
    assert server.stop() == 0
    assert "stopped" in error.read_text()


# -- one instance


def test_a_second_instance_is_refused_and_told_the_pid_of_the_first(saola):
    runtime = saola.directory()
    first = saola(config={"server": {"runtime_dir": runtime}})
    pid_file = Path(runtime) / "saola.pid"
    assert pid_file.read_text() == f"{first.pid}\n"
    second = saola(config={"server": {"runtime_dir": runtime}}, wait=False)
    second.expected_exit = 1
    assert second.wait_exit() == 1
    assert f"already running: pid {first.pid} holds {pid_file}" in second.log()
    assert first.get().status == 200
    assert first.stop() == 0
    assert not pid_file.exists()


def test_the_pid_file_of_a_killed_instance_is_taken_over(saola):
    pid_file = Path(saola.directory()) / "my.pid"
    first = saola(config={"server": {"pid_file": str(pid_file)}})
    die_with_supervisor(first)
    assert pid_file.read_text() == f"{first.pid}\n"
    second = saola(config={"server": {"pid_file": str(pid_file)}})
    assert pid_file.read_text() == f"{second.pid}\n"


def test_a_pid_file_that_cannot_be_written_is_an_error_a_runtime_dir_is_not(saola):
    strict = saola(config={"server": {"pid_file": "/proc/saola.pid"}}, wait=False)
    strict.expected_exit = 1
    assert strict.wait_exit() == 1
    assert "/proc/saola.pid" in strict.log()
    lenient = saola(config={"server": {"runtime_dir": "/proc/saola"}})
    assert "no pid file: " in lenient.log()
    assert lenient.get().status == 200


def test_a_unix_socket_of_a_killed_instance_is_replaced_and_removed_at_the_end(saola):
    path = Path(saola.directory()) / "s.sock"
    listen = [{"address": f"unix:{path}", "mode": "0666"}]
    first = saola(listen=listen)
    assert oct(path.stat().st_mode & 0o777) == "0o666"
    second = saola(listen=listen, wait=False)
    second.expected_exit = 1
    assert second.wait_exit() == 1
    assert f"address already in use: unix:{path}" in second.log()
    die_with_supervisor(first)
    assert path.exists()
    third = saola(listen=listen)
    with Client(str(path)) as client:
        assert client.exchange().status == 200
    assert third.stop() == 0
    assert not path.exists()


def test_nothing_is_inherited_that_somebody_left_open(saola, tmp_path):
    leftover = os.open(tmp_path / "leftover", os.O_CREAT | os.O_RDWR)
    try:
        server = saola(preexec=lambda: os.set_inheritable(leftover, True))
        for pid in (server.edge(), *server.workers()):
            open_files = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
            assert str(tmp_path / "leftover") not in open_files
    finally:
        os.close(leftover)


@pytest.mark.root
def test_as_the_first_process_of_a_container_it_reaps_strangers(saola):
    """Orphans of the app come to pid 1; they must not stay as zombies."""
    container = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*container, "true"]).returncode != 0:
        pytest.skip("needs unshare, and the right to use it (none in a chroot)")
    server = saola(BOOTS, wrapper=container)
    [supervisor] = processes.children(server.pid)
    assert status_of(supervisor, "NSpid").split()[-1] == "1"
    assert server.get("/orphan").status == 200
    wait_for(lambda: not any(is_zombie(pid) for pid in processes.children(supervisor)),
             "no zombie to be left")
    os.kill(supervisor, signal.SIGTERM)
    assert server.wait_exit() == 0
