"""Waiting for a condition, never for a time.

Deadlines are generous because the machine may be loaded; a passing test never comes near them.
SAOLA_TEST_DEADLINE multiplies them all.
"""

import os
import time

DEADLINE = 30.0 * float(os.environ.get("SAOLA_TEST_DEADLINE", "1"))


def wait_for(condition, what, deadline=DEADLINE, interval=0.01):
    """Calls `condition` until it returns something true, and returns that."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline:.0f} s in vain for {what}")
        time.sleep(interval)
