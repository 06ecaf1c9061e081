"""What a zygote asks of Python between the import of the application and the first fork."""

import gc
import sys
import threading


def other_threads():
    """Names of the threads beside the main one."""
    return [repr(thread.name) for thread in threading.enumerate()
            if thread is not threading.main_thread()]


def settle():
    """Nothing half written is left to be written by each worker, and no collection in a worker
    walks, and so copies, what the import made."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    gc.collect()
    gc.freeze()
