"""F42: what says who may do what is wrong in the settings, so nobody may; a daemon never opens by a mistake."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from alerting.control import Control
from tests.clock import FakeClock
from tests.whole.knocking import REFUSED, RIGHT, SHUT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.figures import Figure

pytest.importorskip("uvicorn", reason="the extra `web` is not installed")
pytest.importorskip("starlette", reason="the extra `web` is not installed")

FILE = "'${file:%s/token}'"
WEB = "web: {listen: '127.0.0.1:0'}\n"


class Case(NamedTuple):
    """One mistake: the token, what must come of it, further keys of its source, `web`, what is made beforehand."""

    token: str
    ends: str
    more: str = ""
    web: str = WEB
    make: Callable[[Path], object] = lambda _: None
    environment: Mapping[str, str] = {}


def file(content: bytes) -> Callable[[Path], object]:
    """Write the file that the token is in."""
    return lambda folder: (folder / "token").write_bytes(content)


ENV = "'${PUSH_TOKEN}'"
GOOD = {"PUSH_TOKEN": RIGHT}
TABLE = {
    "a variable that is not set": Case(ENV, SHUT),
    "a variable that is empty": Case(ENV, SHUT, environment={"PUSH_TOKEN": ""}),
    "a variable of one line end": Case(ENV, SHUT, environment={"PUSH_TOKEN": "\n"}),
    "a variable of spaces": Case(ENV, SHUT, environment={"PUSH_TOKEN": "   "}),
    "a file that is not there": Case(FILE, SHUT),
    "an empty file": Case(FILE, SHUT, make=file(b"")),
    "a file of line ends": Case(FILE, SHUT, make=file(b"\r\n\n")),
    "a file of spaces": Case(FILE, SHUT, make=file(b"    ")),
    "a file that is not text": Case(FILE, SHUT, make=file(b"\xff\xfe\x00")),
    "a file that is too large": Case(FILE, SHUT, make=file(b"x" * 70_000)),
    "a folder in its place": Case(FILE, SHUT, make=lambda folder: (folder / "token").mkdir()),
    "a pipe in its place": Case(FILE, SHUT, make=lambda folder: os.mkfifo(folder / "token")),
    "a link that leads nowhere": Case(FILE, SHUT, make=lambda folder: (folder / "token").symlink_to("/nowhere/x")),
    "a file of another name": Case("'${file:token}'", SHUT, make=file(b"x")),
    "a secret store that nobody knows": Case("'${vault:token}'", REFUSED),
    "a store that is not set up": Case("'${doppler:TOKEN}'", SHUT),
    "no token": Case("", REFUSED),
    "an empty token": Case("''", REFUSED),
    "a token that is null": Case("null", REFUSED),
    "a token that is a number": Case("0", REFUSED),
    "a token that is a truth": Case("false", REFUSED),
    "a list of tokens": Case("[a, b]", REFUSED),
    "a reference that does not end": Case("'${PUSH_TOKEN'", REFUSED, environment=GOOD),
    "a kind of access that nobody knows": Case(ENV, REFUSED, "auth: none, ", environment=GOOD),
    "a source that wants no token": Case(ENV, REFUSED, "anonymous: true, ", environment=GOOD),
    "access of the web that it has not": Case(ENV, REFUSED, web="web: {listen: '127.0.0.1:0', auth: {type: magic}}\n"),
    "a token of the web that it has not": Case(ENV, REFUSED, web="web: {listen: '127.0.0.1:0', token_file: /x}\n"),
    "TLS without a key": Case(ENV, REFUSED, web="web: {listen: '127.0.0.1:0', tls: {cert_file: /x}}\n"),
    "every host": Case(ENV, REFUSED, web="web: {listen: '127.0.0.1:0', hosts: ['*']}\n", environment=GOOD),
    "hosts by a pattern": Case(ENV, REFUSED, web="web: {listen: '127.0.0.1:0', hosts: ['*.example']}\n"),
    "a host without a name": Case(ENV, REFUSED, web="web: {listen: '127.0.0.1:0', hosts: ['']}\n"),
    "hosts that are a text": Case(ENV, REFUSED, web="web: {listen: '127.0.0.1:0', hosts: evil.example}\n"),
    "hosts that are null": Case(ENV, REFUSED, web="web: {listen: '127.0.0.1:0', hosts: null}\n", environment=GOOD),
    "an address without a host": Case(ENV, REFUSED, web="web: {listen: ':0'}\n", environment=GOOD),
    "an address that is a number": Case(ENV, REFUSED, web="web: {listen: 9797}\n", environment=GOOD),
    "an address of a socket file": Case(ENV, REFUSED, web="web: {listen: 'unix:/tmp/x.sock'}\n", environment=GOOD),
    "a name that stands twice": Case(ENV, REFUSED, f"token: '{RIGHT}', ", environment=GOOD),
}


def laid(folder: Path, case: Case) -> Path:
    """Write what a daemon needs, with the mistake in it."""
    (folder / "rules").mkdir(parents=True)
    token = f"token: {case.token.replace('%s', str(folder))}, " if case.token else ""
    (folder / "alerting.yaml").write_text(
        f"{case.web}sources:\n  cron: {{type: push, {token}{case.more}jobs: {{nightly: {{every: 7d}}}}}}\n"
        "receivers: {ops: {type: console}}\n"
    )
    (folder / "rules" / "all.yaml").write_text("alert: A\ncondition: cron.rows > 5\nnotify: ops\n")
    (folder / "environment.json").write_text(json.dumps(dict(case.environment)))
    case.make(folder)
    return folder


@pytest.mark.slow
def test_f42_no_mistake_in_what_guards_it_opens_the_door(tmp_path: Path, figure: Figure) -> None:
    """Each daemon says no at its start, or takes no report whatever is guessed; one without a mistake takes one."""
    right = Case(ENV, "open", environment=GOOD)
    folders = [laid(tmp_path / str(number), case) for number, case in enumerate([*TABLE.values(), right])]
    line = [sys.executable, "-m", "tests.whole.knocking", *map(str, folders)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads(each) for each in done.stdout.splitlines() if each.startswith("{")]
    *ends, last = found
    assert last["let in"] == [[f"Bearer {RIGHT}", "localhost"]], "else nothing was tried"
    wrong = {name: told for (name, case), told in zip(TABLE.items(), ends, strict=True) if told["ends"] != case.ends}
    for name, told in wrong.items():
        print(name, told)
    assert "Traceback" not in done.stderr
    figure("open APIs", sum(told["ends"] not in (REFUSED, SHUT) for told in ends), at_most=0, n=len(TABLE))
    figure("mistakes that were taken otherwise than is written down", len(wrong), at_most=0, n=len(TABLE))
    assert len(TABLE) >= 20


def test_f42_the_local_socket_is_for_its_owner_whatever_was_there(tmp_path: Path, figure: Figure) -> None:
    """With a file mode mask of nothing, or where a socket was open to all: the daemon's own is 0600."""
    path = tmp_path / "alerting.db.sock"

    async def mode() -> int:
        said: list[str] = []
        control = Control(str(tmp_path / "alerting.db"), lambda _: asyncio.sleep(0), FakeClock(), said.append)
        assert await control._see_to_it() == ""
        try:
            return stat.S_IMODE(path.stat().st_mode)
        finally:
            control._close()

    modes = []
    for mask in (0o000, 0o022, 0o077, 0o177):
        for stale in (False, True):
            if stale:
                left = socket.socket(socket.AF_UNIX)
                left.bind(str(path))
                left.close()
                path.chmod(0o777)
            before = os.umask(mask)
            try:
                modes.append(asyncio.run(mode()))
            finally:
                os.umask(before)
    figure("sockets that others may use", sum(each != 0o600 for each in modes), at_most=0, n=len(modes))
