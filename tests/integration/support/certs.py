"""Self-signed certificates, made once per session with the openssl command."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    certificate: str
    key: str

    def toml(self):
        return {"certificate": self.certificate, "key": self.key}


class Certificates:
    """ecdsa and rsa name localhost; one, two and wild are for SNI; encrypted has a key password."""

    PASSWORD = "correct horse"

    def __init__(self, directory):
        self.directory = Path(directory)
        local = "DNS:localhost,IP:127.0.0.1,IP:::1"
        self.ecdsa = self._make("ecdsa", local)
        self.rsa = self._make("rsa", local, algorithm="rsa")
        self.one = self._make("one", "DNS:one.example")
        self.two = self._make("two", "DNS:two.example")
        self.wild = self._make("wild", "DNS:*.wild.example")
        self.encrypted = self._encrypt("encrypted", self.ecdsa)
        self.password_file = str(self.directory / "encrypted.password")
        Path(self.password_file).write_text(self.PASSWORD + "\n")

    def _make(self, name, alt_names, algorithm="ec"):
        cert, key = self.directory / f"{name}.crt", self.directory / f"{name}.key"
        kind = (["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if algorithm == "ec"
                else ["-newkey", "rsa:2048"])
        subprocess.run(
            ["openssl", "req", "-x509", "-nodes", "-days", "30", "-subj", f"/CN={name}",
             "-addext", f"subjectAltName={alt_names}", *kind, "-keyout", str(key),
             "-out", str(cert)],
            check=True, capture_output=True)
        return Pair(str(cert), str(key))

    def _encrypt(self, name, source):
        key = self.directory / f"{name}.key"
        subprocess.run(
            ["openssl", "pkcs8", "-topk8", "-in", source.key, "-out", str(key),
             "-passout", f"pass:{self.PASSWORD}"],
            check=True, capture_output=True)
        return Pair(source.certificate, str(key))
