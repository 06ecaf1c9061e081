"""Gates: an app stops at one until the test opens it, so that no test has to guess a time.

The test reads what pass_gate() leaves in $GATES/NAME.started and creates $GATES/NAME.open.
"""

import json
import os
import threading
import time


def announce(name, **facts):
    """Tells the test that this place was reached."""
    path = os.path.join(os.environ["GATES"], f"{name}.started")
    facts |= {"pid": os.getpid(), "thread": threading.get_native_id()}
    part = f"{path}.{facts['pid']}.{facts['thread']}.part"  # others may be at the same gate
    with open(part, "w") as file:
        json.dump(facts, file)
    os.rename(part, path)


def is_open(name):
    return os.path.exists(os.path.join(os.environ["GATES"], f"{name}.open"))


def pass_gate(name, **facts):
    """Blocks the thread."""
    announce(name, **facts)
    while not is_open(name):
        time.sleep(0.005)


async def pass_gate_async(name, **facts):
    """Blocks the task only."""
    import asyncio

    announce(name, **facts)
    while not is_open(name):
        await asyncio.sleep(0.005)
