"""Applications whose start a test steers through files in $GATES."""

import os
import signal
import subprocess

from gates import is_open, pass_gate

if is_open("import-fails"):
    raise ImportError("the import gate says no")
if is_open("import-dies"):
    os.kill(os.getpid(), signal.SIGKILL)
if is_open("import-hangs"):
    pass_gate("import")


def application(environ, start_response):
    """Says as whom it runs; /exit ends the process, /orphan leaves a process without a parent."""
    if environ["PATH_INFO"] == "/exit":
        os._exit(7)
    if environ["PATH_INFO"] == "/gate":
        pass_gate("request")
    if environ["PATH_INFO"] == "/orphan":
        subprocess.run(["sh", "-c", "sleep 0.01 &"], check=True)
    text = f"{os.getpid()} {os.getuid()} {os.getgid()} {sorted(os.getgroups())}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
    return [text]
