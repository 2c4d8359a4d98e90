"""F61: whoever has no right to it changes nothing, by whatever route, and no web page elsewhere can read us."""

from __future__ import annotations

import ast
import re
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import pytest

import alerting
from alerting.cli.loading import load
from alerting.model import Section
from alerting.sources.push import Push
from tests.clock import FakeClock
from tests.full import rounds
from tests.whole.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.figures import Figure

pytest.importorskip("uvicorn", reason="the extra `web` is not installed")
pytest.importorskip("starlette", reason="the extra `web` is not installed")

from alerting.web import app

TOKEN = "a-token-of-some-length-1"
RIGHT = {"Authorization": f"Bearer {TOKEN}"}
PLACES = {"source": "cron", "job": "nightly"}  # what stands in a route's path
OTHER = {"Origin": "https://evil.example", "Referer": "https://evil.example/x", "Cookie": f"token={TOKEN}"}
FORM = f"token={TOKEN}&failed=1".encode()


class Attack(NamedTuple):
    """One way to ask without the right to; `method` other than the route's own, `{}` in `target` is its path."""

    headers: Mapping[str, str] = {}
    body: bytes = b""
    method: str = ""
    target: str = "{}"
    host: str = "127.0.0.1"
    refused: bool = True  # by every route; else it may be answered where answering changes nothing


ATTACKS = {
    "no token": Attack(refused=False),
    "a wrong token": Attack({"Authorization": f"Bearer {TOKEN}x"}, refused=False),
    "the token but for its end": Attack({"Authorization": f"Bearer {TOKEN[:-1]}"}, refused=False),
    "a token of spaces": Attack({"Authorization": "Bearer    "}, refused=False),
    "another scheme": Attack({"Authorization": f"Basic {TOKEN}"}, refused=False),
    "the token in the address": Attack(target=f"{{}}?token={TOKEN}&access_token={TOKEN}", refused=False),
    "a form": Attack({"Content-Type": "application/x-www-form-urlencoded", **OTHER}, FORM, refused=False),
    "a text": Attack({"Content-Type": "text/plain", **OTHER}, b'{"rows": 1}', refused=False),
    "another origin": Attack(OTHER, refused=False),
    "what a browser asks before": Attack(
        {**OTHER, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"},
        method="OPTIONS",
    ),
    "a forged host": Attack(RIGHT, host="evil.example"),
    "a host that begins as ours": Attack(RIGHT, host="localhost.evil.example"),
    "two hosts": Attack({**RIGHT, "host": "evil.example"}),
    "a name that a proxy would give": Attack({"X-Forwarded-Host": "localhost", **RIGHT}, host="evil.example"),
    "a whole address": Attack(RIGHT, target="http://evil.example{}", host="evil.example"),
    "another method in a header": Attack(
        {"X-HTTP-Method-Override": "POST", "X-Method": "POST", **RIGHT}, method="GET", refused=False
    ),
    "a method of another kind": Attack(RIGHT, method="PUT"),
    "a method that nobody knows": Attack(RIGHT, method="TAKE"),
}


def send(url: str, method: str, attack: Attack, path: str) -> tuple[int, dict[str, str], str]:
    """Write the bytes of one request, whatever a client would make of it; give status, headers, body."""
    place = urlsplit(url)
    lines = [f"{method} {attack.target.format(path)} HTTP/1.1", f"Host: {attack.host}"]
    lines += [f"{name}: {value}" for name, value in attack.headers.items()]
    lines += [f"Content-Length: {len(attack.body)}", "Connection: close", "", ""]
    with socket.create_connection((place.hostname, place.port), timeout=15) as connection:
        connection.sendall("\r\n".join(lines).encode() + attack.body)
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    head, _, body = answer.partition("\r\n\r\n")
    first, *rest = head.split("\r\n")
    return (
        int(first.split()[1]),
        {name.lower(): value for name, _, value in (each.partition(": ") for each in rest)},
        body,
    )


def kept(folder: Path) -> dict[str, str]:
    """What the state holds of jobs."""
    with closing(sqlite3.connect(f"file:{folder}/alerting.db?mode=ro", uri=True)) as rows:
        return dict(rows.execute("SELECT name, value FROM kept WHERE name LIKE 'push/%'"))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A daemon's folder, with one job that reports."""
    with Scene(tmp_path) as made:
        made.settings(
            "web: {listen: '127.0.0.1:0'}\nsources:\n"
            "  cron: {type: push, token: '${PUSH_TOKEN}', jobs: {nightly: {every: 7d}}}\n"
            "receivers: {ops: {type: console}}\n"
        )
        made.rules("alert: A\ncondition: cron.rows > 5\nnotify: ops\n")
        made.environment["PUSH_TOKEN"] = TOKEN
        yield made


@pytest.mark.slow
def test_f61_no_route_is_changed_by_any_attack(scene: Scene, figure: Figure) -> None:
    """Every route of the application, every attack; and then each route that changes something does, by the token."""
    routes = app.routes(app.Views(None, None, None))  # type: ignore[arg-type]
    changed, open_to_others, uncovered, tried = [], [], [], 0
    with scene.daemon() as daemon:
        daemon.ready()
        url = re.findall(r'"action": "serving", "address": "([^"]+)"', daemon.log)[-1]
        before = kept(scene.folder)
        for route in routes:
            path = re.sub(r"\{(\w+)\}", lambda found: PLACES.get(found[1], found[0]), route.path)
            own = sorted((route.methods or set()) - {"HEAD"})
            for method in own:
                for name, attack in ATTACKS.items():
                    status, headers, body = send(url, attack.method or method, attack, path)
                    tried += 1
                    reads = (attack.method or method) == "GET" and method == "GET" and not attack.refused
                    assert (status == 200) == reads, (route.path, method, name, status, body[:200])
                    assert TOKEN not in body, (route.path, name)
                    if any(each.startswith("access-control-") for each in headers):
                        open_to_others.append((route.path, method, name))
                    if kept(scene.folder) != before:
                        changed.append((route.path, method, name))
                        before = kept(scene.folder)
            if "{" in path or not own:
                uncovered.append(route.path)  # nobody has said what stands there
            elif own != ["GET"]:
                body = b'{"rows": 3}'
                status, _, _ = send(url, own[0], Attack(RIGHT, body), path)
                after = kept(scene.folder)
                if status != 200 or after == before:
                    uncovered.append(route.path)  # that nothing changed would say nothing
                before = after
        assert TOKEN not in daemon.log
    figure("unauthorised changes", len(changed), at_most=0, n=tried)
    figure("routes not covered", len(uncovered), at_most=0, n=len(routes))
    figure("answers that another origin may read", len(open_to_others), at_most=0, n=tried)
    assert len(ATTACKS) >= 10


def test_f61_only_loopback_hears_unless_the_settings_say_otherwise(scene: Scene, monkeypatch: Any) -> None:
    """`web: {}` is an address of this host for this host."""
    monkeypatch.setenv("PUSH_TOKEN", TOKEN)
    text = (scene.folder / "alerting.yaml").read_text()
    scene.settings(text.replace("listen: '127.0.0.1:0'", ""))
    settings = load(str(scene.folder / "alerting.yaml")).settings
    assert settings.web == {"listen": "127.0.0.1:9797", "hosts": []}


@pytest.mark.slow
def test_f61_how_long_a_wrong_token_takes_tells_nothing_of_it(figure: Figure) -> None:
    """Wrong in its first letter or in its last: the shortest of many calls is the same, for a token of a mebibyte."""
    right = "r" * 2**20
    tools: Any = SimpleNamespace(clock=FakeClock())
    source = Push(Section("cron", "push", {"token": right, "jobs": {}}), tools)
    tokens = {"first": "x" + right[1:], "last": right[:-1] + "x"}
    best = dict.fromkeys(tokens, 1e9)
    for _ in range(rounds(60, full=400)):
        for name, token in tokens.items():
            began = time.thread_time()
            assert not source.admits(token)
            best[name] = min(best[name], time.thread_time() - began)
    assert source.admits(right)
    figure("time of a late mistake over an early one", best["last"] / best["first"], at_most=1.1, timed=True)


def test_f61_no_secret_is_compared_letter_by_letter(figure: Figure) -> None:
    """Anywhere in the program: what was revealed is compared by `hmac.compare_digest` or not at all."""
    wrong, looked = [], 0
    for path in Path(alerting.__file__).parent.rglob("*.py"):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if ".reveal()" in text else ():
            if isinstance(node, ast.Compare):
                looked += 1
                sides = (node.left, *node.comparators)
                if any(ast.unparse(each).endswith((".reveal()", ".reveal().encode()")) for each in sides):
                    wrong.append(f"{path.name}:{node.lineno}: {ast.unparse(node)}")
    print("\n".join(wrong))
    figure("comparisons of what was revealed", len(wrong), at_most=0, n=looked)
