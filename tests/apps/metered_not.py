"""Tells which modules of prometheus_client have been imported: nobody here does that."""

import json
import sys


def application(environ, start_response):
    body = json.dumps([name for name in sys.modules if name.startswith("prometheus")]).encode()
    start_response("200 OK", [("Content-Type", "application/json"),
                              ("Content-Length", str(len(body)))])
    return [body]
