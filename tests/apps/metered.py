"""Counts with prometheus_client as its documentation for one process says; tests/integration/test_app_metrics.py
compares what /metrics shows with what it was told. POST /run executes its body, which is given `result`."""

import json
import os
import sys
import threading
from urllib.parse import parse_qs

from prometheus_client import Counter, Gauge, Histogram, Summary, generate_latest, make_wsgi_app

MODES = ["all", "min", "max", "sum", "mostrecent"]
MODES += [f"live{mode}" for mode in MODES]

hits = Counter("hits", "Requests to /hit.", ["path"])
weights = Histogram("weights", "Of requests.", buckets=(1, 2, 5))
sizes = Summary("sizes", "Of requests.", ["path"])
gauges = {mode: Gauge(f"turn_{mode}", "Requests of a worker.", multiprocess_mode=mode)
          for mode in MODES}
BEFORE_ANY = 1_000_000  # so that a worker that was never asked is not the least
for mode in ("min", "livemin"):
    gauges[mode].set(BEFORE_ANY)

prometheus_app = make_wsgi_app()
lock = threading.Lock()
turn = 0


def hit(query):
    """The turn of this worker; what it has counted is told to the client."""
    global turn
    path, weight = query.get("path", ["x"])[0], float(query.get("weight", ["1"])[0])
    with lock:
        turn += 1
        for gauge in gauges.values():
            gauge.set(turn)
        mine = turn
    hits.labels(path).inc()
    weights.observe(weight)
    sizes.labels(path=path).observe(weight)
    return {"pid": os.getpid(), "turn": mine}


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/prometheus":
        return prometheus_app(environ, start_response)
    if path == "/metrics":
        body = generate_latest()
    elif path == "/run":
        names = {"result": None, "me": sys.modules[__name__]}
        exec(environ["wsgi.input"].read(), names)  # noqa: S102: that is what it is for
        body = json.dumps(names["result"]).encode()
    else:
        body = json.dumps(hit(parse_qs(environ["QUERY_STRING"]))).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
