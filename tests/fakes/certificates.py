"""A certificate authority for tests, and certificates of every kind that a server may show. Needs `openssl`."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """An authority in a folder; `file` is what clients trust."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")
        self._folder = folder
        self.file = str(folder / "ca.pem")
        usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")  # without it Python 3.13 trusts nothing below it
        files = ("-keyout", "ca.key", "-out", "ca.pem")
        self._openssl("req", "-x509", *_KEY, *files, "-days", "30", "-subj", "/CN=ca", *usage)
        (folder / "index.txt").write_text("")

    def server(
        self, name: str, subject: str = "IP:127.0.0.1", *, begin: str = "", end: str = "", alone: bool = False
    ) -> ssl.SSLContext:
        """Give the context of a server; `begin` and `end` are times as openssl writes them; `alone`: self-signed."""
        key, request, made = f"{name}.key", f"{name}.csr", f"{name}.pem"
        names = ("-addext", f"subjectAltName={subject}") if subject else ()
        if alone:
            self._openssl("req", "-x509", *_KEY, "-keyout", key, "-out", made, "-days", "10", "-subj", "/CN=t", *names)
        else:
            self._openssl("req", *_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}", *names)
            extensions = f"subjectAltName={subject}\n" if subject else ""
            config = f"[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nunique_subject=no\nnew_certs_dir=.\nrand_serial=yes\npolicy=p\nx509_extensions=e\n[p]\ncommonName=supplied\n[e]\nbasicConstraints=CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n{extensions}"  # noqa: E501  one text
            (self._folder / f"{name}.cnf").write_text(config)
            period = ("-startdate", begin or "20200101000000Z", "-enddate", end or "20991231235959Z")
            files = ("-config", f"{name}.cnf", "-in", request, "-out", made, "-cert", "ca.pem", "-keyfile", "ca.key")
            self._openssl("ca", "-batch", "-notext", "-md", "sha256", *files, *period)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / made, self._folder / key)
        return context

    def der(self, name: str) -> bytes:
        """Give the bytes of a certificate that was made."""
        return ssl.PEM_cert_to_DER_cert((self._folder / f"{name}.pem").read_text())

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self._folder, check=True, capture_output=True, timeout=30)
