"""Processes as /proc shows them: descendants, titles, memory, descriptors."""

import ctypes
import os
import signal
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def become_subreaper():
    """Orphans of the servers under test come to this process, where they can be found."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@dataclass(frozen=True)
class Process:
    pid: int
    start: int  # in clock ticks since boot: with the pid it names one process for ever

    def alive(self):
        return _stat(self.pid) is not None and _stat(self.pid)[1] == self.start \
            and _stat(self.pid)[2] != "Z"


def _stat(pid):
    """(parent, start time, state) or None."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2:].split()
    return int(fields[1]), int(fields[19]), fields[0]


def find(pid):
    stat = _stat(pid)
    return Process(pid, stat[1]) if stat else None


def children(pid):
    return sorted(p for p in map(int, filter(str.isdigit, os.listdir("/proc")))
                  if (_stat(p) or (None,))[0] == pid)


def descendants(pid):
    """Living processes below `pid`, in no particular order; zombies do not count."""
    parents = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        stat = _stat(int(entry))
        if stat and stat[2] != "Z":
            parents.setdefault(stat[0], []).append(Process(int(entry), stat[1]))
    found, waiting = [], [pid]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            found.append(child)
            waiting.append(child.pid)
    return found


def title(pid):
    """The command line as ps shows it; empty for one that is gone."""
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return text.replace(b"\0", b" ").decode(errors="replace").strip()


def kill(pid, number=signal.SIGKILL):
    os.kill(pid, number)


def cpu_seconds(pid):
    """User and system time of all threads so far."""
    text = Path(f"/proc/{pid}/stat").read_text()
    fields = text[text.rindex(")") + 2:].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss_bytes(pid):
    """Proportional set size, shared memory and memory files mapped by it included."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no Pss for {pid}")


def memory_file_bytes(pid):
    """Allocated bytes of memfd files that the process holds open, mapped or not."""
    total, seen = 0, set()
    for entry in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{entry}"
        try:
            if os.readlink(path).startswith("/memfd:"):
                status = os.stat(path)
                if status.st_ino not in seen:
                    seen.add(status.st_ino)
                    total += status.st_blocks * 512
        except OSError:
            continue
    return total


def descriptor_count(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def thread_count(pid):
    return len(os.listdir(f"/proc/{pid}/task"))
