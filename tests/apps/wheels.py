"""Wheels that bring their own OpenSSL, zlib, nghttp2 or Fortran, all in one process, and in use."""

import io
import json
import ssl
import urllib.request
import zlib
from urllib.parse import parse_qs

import cryptography.hazmat.primitives.hashes as hashes
import grpc
import lxml.etree
import numpy
import psycopg2
import pycurl
import uvloop
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric import ec


def application(environ, start_response):
    query = {key: value[0] for key, value in parse_qs(environ["QUERY_STRING"]).items()}
    answer = {name: use(query) for name, use in USES.items()}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]


def with_ssl(query):
    context = ssl.create_default_context(cafile=query["ca"])
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                         urllib.request.HTTPSHandler(context=context))
    with opener.open(query["url"], timeout=20) as answer:
        return answer.read().decode()


def with_pycurl(query):
    received, handle = io.BytesIO(), pycurl.Curl()
    handle.setopt(pycurl.URL, query["url"])
    handle.setopt(pycurl.CAINFO, query["ca"])
    handle.setopt(pycurl.PROXY, "")
    handle.setopt(pycurl.TIMEOUT, 20)
    handle.setopt(pycurl.WRITEDATA, received)
    handle.perform()
    handle.close()
    return received.getvalue().decode()


def with_cryptography(query):
    key = ec.generate_private_key(ec.SECP256R1())
    signature = key.sign(b"data", ec.ECDSA(hashes.SHA256()))
    key.public_key().verify(signature, b"data", ec.ECDSA(hashes.SHA256()))
    fernet = Fernet(Fernet.generate_key())
    return fernet.decrypt(fernet.encrypt(b"secret")).decode()


def with_psycopg2(query):
    """libpq with its own OpenSSL, against a server that speaks TLS but not PostgreSQL."""
    try:
        psycopg2.connect(host="127.0.0.1", port=int(query["port"]), dbname="none",
                         sslmode="require", connect_timeout=5)
    except psycopg2.OperationalError as error:
        return type(error).__name__
    return "connected"


def with_grpcio(query):
    """gRPC with its BoringSSL: the handshake fails for want of h2, which is all we ask."""
    with open(query["ca"], "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    with grpc.secure_channel(f"localhost:{query['port']}", credentials) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=0.5)
        except grpc.FutureTimeoutError:
            return "not ready"
    return "ready"


USES = {
    "ssl": with_ssl,
    "pycurl": with_pycurl,
    "cryptography": with_cryptography,
    "psycopg2": with_psycopg2,
    "grpcio": with_grpcio,
    "lxml": lambda query: lxml.etree.fromstring("<a><b>text</b></a>").findtext("b"),
    "numpy": lambda query: round(float(numpy.linalg.det(numpy.eye(3) * 2))),
    "uvloop": lambda query: uvloop.new_event_loop().close(),
    "zlib": lambda query: zlib.decompress(zlib.compress(b"x" * 100_000)).count(b"x"),
}
