"""How a source fails is told apart where people look: in `status`, each class in words of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from tests.fakes.hostile import Hostile, refused_url
from tests.fakes.server import CuttableServer

if TYPE_CHECKING:
    from pathlib import Path

STATUSES = {  # what `status` must say of it
    401: "wants credentials",
    403: "not allowed to read",
    404: "check the path",
    429: "asked too often",
    500: "the service itself fails",
    302: "redirects are not followed",
    418: "answered 418",
}
OTHERS = {
    "refused": "connection refused",
    "hangs": "no whole answer within",
    "resets": "the connection broke",
    "nowhere": "name of the host is not found",
    "plain": "TLS refused",
    "forbidden": "out of `reach`",
    "page": "a web page (HTML)",
    "large": "longer than",
    "unset": "variable NOBODY_SET_THIS is not set",
}


class ByPath(BaseHTTPRequestHandler):
    """Answers with the status that the path names; `/page` with a web page."""

    def do_GET(self) -> None:
        name = self.path.strip("/")
        body = b"<html>log in</html>"
        self.send_response(int(name) if name.isdigit() else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name in the library
        """Say nothing."""


def alerting(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    line = [sys.executable, "-m", "alerting", *words]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.slow
def test_f2_every_class_of_failure_is_told_apart_in_status(tmp_path: Path) -> None:
    """No two of sixteen ways to fail read alike, and each names its source."""
    with ExitStack() as stack:
        server = CuttableServer(("127.0.0.1", 0), ByPath)
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        urls = {f"s{status}": f"http://127.0.0.1:{port}/{status}" for status in STATUSES}
        urls |= {
            "refused": refused_url(),
            "hangs": stack.enter_context(Hostile("hang")).url,
            "resets": stack.enter_context(Hostile("reset")).url,
            "nowhere": "http://nothing.invalid/",
            "plain": f"https://127.0.0.1:{port}/",
            "forbidden": "http://169.254.169.254/",
            "page": f"http://127.0.0.1:{port}/page",
            "large": stack.enter_context(Hostile("endless body")).url,
            "unset": "${NOBODY_SET_THIS}",
        }
        sources = {name: {"type": "health", "url": url, "timeout": "2s"} for name, url in urls.items()}
        rules = "".join(f"- {{alert: {name}Down, condition: {name}.x > 1}}\n" for name in sources)
        (tmp_path / "rules").mkdir()
        (tmp_path / "rules" / "all.yaml").write_text(rules)
        desk = {"receivers": {"desk": {"type": "console"}}, "route": {"receiver": "desk"}}
        (tmp_path / "alerting.yaml").write_text(json.dumps({"sources": sources, **desk}))
        assert alerting(tmp_path, "check", "--quiet").returncode == 3
    found = json.loads(alerting(tmp_path, "status", "--output", "json").stdout)["faults"]
    assert found.keys() == sources.keys()
    expected = {f"s{status}": words for status, words in STATUSES.items()} | OTHERS
    for name, words in expected.items():
        assert words in found[name], found[name]
        assert sum(words in why for why in found.values()) == 1, words
