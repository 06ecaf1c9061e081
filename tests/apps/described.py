"""Answers with what its interpreter and process look like."""

import json
import os
import sys


def application(environ, start_response):
    facts = {"prefix": sys.prefix, "base_prefix": sys.base_prefix, "path": sys.path,
             "version": "%d.%d" % sys.version_info[:2], "cwd": os.getcwd(), "uid": os.getuid(),
             "gid": os.getgid(), "argv": sys.argv, "COLOUR": os.environ.get("COLOUR"),
             "environment": dict(os.environ)}
    body = json.dumps(facts).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
