"""The local socket: what it takes, what it refuses, and how it comes and goes. Real sockets, real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from alerting.clock import SystemClock
from alerting.control import Control, hand_over, path_of, ping
from alerting.core.telling.keeping import ack_name, ack_text, silence_name, silence_text
from alerting.errors import AlertingError, LockHeld, StoreError
from alerting.model import Ack, AlertKey, Matcher, Silence
from tests.whole.scene import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alerting.model import Millis

T = TypeVar("T")
SILENCE = Silence("ab12", (Matcher("alertname", "=", "Disk"),), 1, 2, "ann", "", 1)
ACK = Ack(AlertKey("rules/a.yaml/A", "f" * 32), "e", "ann", 1, 2)
TEXTS = {silence_name("ab12"): silence_text(SILENCE), ack_name(ACK.key): ack_text(ACK), "silence/cd34": None}


class Heard:
    """What a daemon would be given."""

    def __init__(self, fails: Exception | None = None, delay: float = 0) -> None:
        self.texts: list[Mapping[str, str | None]] = []
        self.said: list[str] = []
        self.faults: list[str] = []
        self._fails = fails
        self._delay = delay

    async def take(self, texts: Mapping[str, str | None]) -> None:
        await asyncio.sleep(self._delay)
        if self._fails is not None:
            raise self._fails
        self.texts.append(texts)

    def fault(self, part: str, error: BaseException) -> None:
        self.faults.append(f"{part}: {error!r}")


class Quick(SystemClock):
    """Time in which nobody waits for long."""

    async def sleep(self, duration: Millis) -> None:
        await super().sleep(min(duration, 20))


def over(state: Path, heard: Heard, ask: Callable[[], T]) -> T:
    """Serve the socket of a state while `ask` runs in a thread; give what it gives or raises."""

    def when_served() -> T:
        eventually(lambda: heard.said or ping(str(state)), "somebody who listens")
        return ask()

    async def main() -> T:
        served = Control(str(state), heard.take, Quick(), heard.said.append, heard.fault)
        running = asyncio.create_task(served.run())
        try:
            return await asyncio.to_thread(when_served)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    return asyncio.run(main())


def sock(state: Path) -> Path:
    """Where the socket is."""
    return Path(path_of(str(state)))


def raw(state: Path, data: bytes) -> dict[str, object]:
    """Send bytes as they are; give the answer."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(10)
        asking.connect(path_of(str(state)))
        asking.sendall(data)
        answer: dict[str, object] = json.loads(asking.makefile().readline())
        return answer


def test_what_is_handed_over_is_taken_whole(tmp_path: Path) -> None:
    """Silences, acknowledgements, and what is to be forgotten; and a ping names the process."""
    state, heard = tmp_path / "alerting.db", Heard()
    assert over(state, heard, lambda: hand_over(str(state), TEXTS)) is True
    assert heard.texts == [TEXTS]
    assert over(state, heard, lambda: ping(str(state))) == os.getpid()
    assert not sock(state).exists(), "it goes with the daemon"


def test_what_is_too_long_for_one_request_goes_in_several(tmp_path: Path) -> None:
    """All of it arrives; one text that is too long by itself is refused in words that help."""
    state, heard = tmp_path / "alerting.db", Heard()
    many = [SILENCE._replace(id=f"s{number}", comment="x" * 1_000) for number in range(2_500)]
    texts: dict[str, str | None] = {silence_name(each.id): silence_text(each) for each in many}
    assert over(state, heard, lambda: hand_over(str(state), texts)) is True
    assert len(heard.texts) > 1
    assert {name: text for part in heard.texts for name, text in part.items()} == texts
    endless: dict[str, str | None] = {silence_name("ab12"): silence_text(SILENCE._replace(comment="x" * 1_100_000))}
    with pytest.raises(AlertingError, match="too long for one request"):
        over(state, heard, lambda: hand_over(str(state), endless))


def test_without_a_daemon_there_is_nobody(tmp_path: Path) -> None:
    """No socket, or one that a dead daemon left."""
    state = tmp_path / "alerting.db"
    assert hand_over(str(state), TEXTS) is False
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path_of(str(state)))
    assert hand_over(str(state), TEXTS) is False
    assert ping(str(state)) == 0


def test_only_the_owner_can_reach_it(tmp_path: Path) -> None:
    """The rights of the file are 0600, and a stale one is replaced."""
    state = tmp_path / "alerting.db"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path_of(str(state)))
    mode = over(state, Heard(), lambda: sock(state).stat().st_mode)
    assert oct(mode & 0o777) == "0o600"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_is_refused_by_the_kernel_s_word(tmp_path: Path) -> None:
    """Even where the rights of the file were opened."""
    state = tmp_path / "alerting.db"

    def ask() -> object:
        sock(state).chmod(0o666)
        for folder in (tmp_path, *tmp_path.parents):
            if folder.owner() == "root" and len(folder.parts) > 2:
                folder.chmod(0o755)
        program = (
            "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX);"
            "s.connect(sys.argv[1]); s.sendall(b'{\"ping\": true}\\n'); print(s.makefile().readline())"
        )
        done = subprocess.run(
            ["/usr/bin/env", "python3", "-c", program, path_of(str(state))],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.stdout or done.stderr

    assert "only the user who owns the state" in str(over(state, Heard(), ask))


BAD = {
    "no JSON": b"hello\n",
    "a list": b"[]\n",
    "no request": b"{}\n",
    "a number to take": b'{"take": 5}\n',
    "another text": b'{"take": {"good_config": "x"}}\n',
    "a text that is none": b'{"take": {"silence/ab12": 5}}\n',
    "a silence without matchers": b'{"take": {"silence/a": "{\\"id\\":\\"a\\",\\"matchers\\":[]}"}}\n',
    "a silence beyond all dates": json.dumps(
        {"take": {"silence/ab12": silence_text(SILENCE._replace(ends=10**18))}}
    ).encode()
    + b"\n",
    "an acknowledgement beyond all dates": json.dumps(
        {"take": {ack_name(ACK.key): ack_text(ACK._replace(until=10**18))}}
    ).encode()
    + b"\n",
    "a silence by nobody": json.dumps(
        {"take": {"silence/ab12": silence_text(SILENCE).replace('"author":"ann"', '"author":{}')}}
    ).encode()
    + b"\n",
    "a silence of another name": json.dumps({"take": {"silence/zz": silence_text(SILENCE)}}).encode() + b"\n",
    "a time that is none": json.dumps(
        {"take": {"silence/ab12": silence_text(SILENCE).replace('"ends":2', '"ends":"2"')}}
    ).encode()
    + b"\n",
    "a pattern that is none": json.dumps(
        {"take": {"silence/ab12": silence_text(SILENCE._replace(matchers=(Matcher("a", "=~", "("),)))}}
    ).encode()
    + b"\n",
    "too deep": b'{"take": ' + b"[" * 100_000 + b"\n",
    "too long": b'{"take": "' + b"x" * (1024 * 1024 + 10) + b'"}\n',
    "bytes": b"\xff\xfe\n",
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_what_is_not_whole_and_readable_is_refused(case: str, tmp_path: Path) -> None:
    """With a reason; nothing of it is handed on, and the next request is served."""
    state, heard = tmp_path / "alerting.db", Heard()

    def ask() -> object:
        answer = raw(state, BAD[case])
        assert hand_over(str(state), TEXTS)
        return answer.get("error")

    assert over(state, heard, ask)
    assert (heard.texts, heard.faults) == ([TEXTS], [])


def test_who_hangs_up_or_says_nothing_disturbs_nobody(tmp_path: Path) -> None:
    """Half a request, then silence: others are served meanwhile."""
    state, heard = tmp_path / "alerting.db", Heard()

    def ask() -> object:
        with socket.socket(socket.AF_UNIX) as slow, socket.socket(socket.AF_UNIX) as gone:
            slow.connect(path_of(str(state)))
            slow.sendall(b'{"take"')
            gone.connect(path_of(str(state)))
            gone.close()
            return hand_over(str(state), TEXTS)

    assert over(state, heard, ask) is True
    assert heard.faults == []


@pytest.mark.parametrize(
    ("fails", "kind"),
    [(StoreError("the disk is full"), StoreError), (KeyError("x"), AlertingError)],
    ids=["the state", "a fault"],
)
def test_what_goes_wrong_in_the_daemon_is_said_to_who_asked(fails: Exception, kind: type, tmp_path: Path) -> None:
    """A state that cannot be written is one thing, a fault of ours another; the daemon goes on."""
    state, heard = tmp_path / "alerting.db", Heard(fails)
    with pytest.raises(kind, match="the daemon says"):
        over(state, heard, lambda: hand_over(str(state), TEXTS))
    assert len(heard.faults) == (not isinstance(fails, StoreError))


def test_a_daemon_that_gives_no_answer_is_not_waited_for(tmp_path: Path) -> None:
    """The command says so, and that it may still happen."""
    state = tmp_path / "alerting.db"
    with pytest.raises(LockHeld, match=r"no answer within 0\.1 s; it may still"):
        over(state, Heard(delay=0.4), lambda: hand_over(str(state), TEXTS, 100))


def test_a_long_path_is_no_hindrance(tmp_path: Path) -> None:
    """The address of a socket has room for about 100 bytes; folders may be deeper."""
    folder = tmp_path / ("d" * 90) / ("e" * 90)
    folder.mkdir(parents=True)
    assert over(folder / "alerting.db", Heard(), lambda: hand_over(str(folder / "alerting.db"), TEXTS)) is True


def test_a_file_of_that_name_is_left_alone_and_said(tmp_path: Path) -> None:
    """It is no socket, so it is not ours to remove."""
    state, heard = tmp_path / "alerting.db", Heard()
    sock(state).write_text("mine")
    assert over(state, heard, lambda: hand_over(str(state), TEXTS)) is False
    assert "is no socket: move it away" in heard.said[0]
    assert sock(state).read_text() == "mine"


def test_a_socket_that_was_removed_is_made_anew(tmp_path: Path) -> None:
    """Somebody tidied up: the next look finds out."""
    state, heard = tmp_path / "alerting.db", Heard()

    def ask() -> object:
        sock(state).unlink()
        eventually(lambda: sock(state).exists(), "a new socket", 5)
        return hand_over(str(state), TEXTS)

    assert over(state, heard, ask) is True


def test_a_process_that_dies_leaves_a_socket_that_the_next_one_replaces(tmp_path: Path) -> None:
    """As a power cut would."""
    state = tmp_path / "alerting.db"
    program = (
        "import asyncio, sys; from alerting.control import Control; from alerting.clock import SystemClock\n"
        "async def take(texts): pass\n"
        "asyncio.run(Control(sys.argv[1], take, SystemClock(), print).run())"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(state)])
    try:
        eventually(lambda: ping(str(state)) == process.pid, "an answer")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert sock(state).exists()
    assert ping(str(state)) == 0
    assert over(state, Heard(), lambda: ping(str(state))) == os.getpid()
