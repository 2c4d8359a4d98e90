"""The local socket beside the state, `<state>.sock`: how commands hand things to the daemon that holds it.

One request a connection, one line of JSON each way: `{"ping": true}`, or `{"take": {NAME: TEXT or null}}` with
silences and acknowledgements as `core.telling.keeping` writes them. Its law: only the owner of the state (and root)
is heard; a request is bounded in size and time; nothing that is not whole and readable is handed on. The socket is
named by a rename, so that it is never there half made, and a stale one is replaced: the lock of the state says that
there is one daemon. It is a convenience: without it alerts are judged and told all the same.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import struct
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from alerting.core.telling.keeping import ACK, SILENCE, ack_name, read_ack, read_silence, silence_name
from alerting.core.telling.matchers import Matchers
from alerting.errors import AlertingError, LockHeld, StoreError
from alerting.patterns import compile_pattern

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from alerting.model import Millis
    from alerting.ports import Clock

PATIENCE: Millis = 5_000  # so long each side waits for the other
_MOST_BYTES = 1024 * 1024  # of one request: some thousand silences
_FRAME = 100  # bytes of a request beside its texts
_AT_ONCE = 16  # connections
_LOOK: Millis = 10_000  # how often it is seen to that the socket is still there
_SHORT = 100  # bytes of a path that the address of a socket has room for everywhere (Linux: 107)


def path_of(state: str) -> str:
    """Give the path of the socket that goes with a state file."""
    return f"{state}.sock"


# ------------------------------------------------------------------------------------------- the daemon's side


class Control:
    """The socket of a daemon. `run` serves it until it is cancelled."""

    def __init__(
        self,
        state: str,
        take: Callable[[Mapping[str, str | None]], Awaitable[None]],
        clock: Clock,
        say: Callable[[str], None],
        on_fault: Callable[[str, BaseException], None] = lambda _part, _error: None,
    ) -> None:
        """`take` puts texts in force, or raises StoreError; `say` hears why the socket cannot be served."""
        self._path = path_of(state)
        self._take = take
        self._clock = clock
        self._say = say
        self._on_fault = on_fault
        self._server: asyncio.Server | None = None
        self._mine: tuple[int, int] | None = None  # device and inode of the socket
        self._open = 0  # connections

    async def run(self, promise: Callable[[Millis], None] = lambda _: None) -> None:
        """Serve without end; a socket that was removed is made anew. `promise` is told by when this looks again."""
        said = ""
        try:
            while True:
                trouble = await self._see_to_it()
                if trouble and trouble != said:
                    self._say(trouble)
                said = trouble
                promise(_LOOK)
                await self._clock.sleep(_LOOK)
        finally:
            self._close()

    async def _see_to_it(self) -> str:
        """Make the socket where there is none of ours; give why that failed."""
        if self._mine is not None and _identity(self._path) == self._mine:
            return ""
        self._close()
        try:
            made = _listening(self._path)
            self._server = await asyncio.start_unix_server(self._serve, sock=made, limit=_MOST_BYTES)
            self._mine = _identity(self._path)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            return f"{self._path} cannot be served ({reason}): `silence` and `ack` reach this daemon only after its end"
        return ""

    def _close(self) -> None:
        """Let go of the socket; a file that is not ours stays."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._mine is not None and _identity(self._path) == self._mine:
            with suppress(OSError):
                os.unlink(self._path)  # noqa: PTH108  a path as text
        self._mine = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection. Nothing that happens on it reaches beyond it."""
        self._open += 1
        try:
            answer = await self._answer(reader, writer)
            writer.write(json.dumps(answer).encode() + b"\n")
            async with asyncio.timeout(PATIENCE / 1000):
                await writer.drain()
        except (OSError, TimeoutError):
            pass  # who asked has gone
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Mapping[str, object]:
        if self._open > _AT_ONCE:
            return {"error": "too many requests at once; try again"}
        try:
            async with asyncio.timeout(PATIENCE / 1000):
                line = await reader.readuntil(b"\n")
            if not _is_trusted(writer.get_extra_info("socket")):  # after reading: else the answer would be lost
                return {"error": "only the user who owns the state may ask"}
            texts = _read_request(line)
        except TimeoutError:
            return {"error": "the request did not come in time"}
        except asyncio.LimitOverrunError:
            return {"error": f"the request is longer than {_MOST_BYTES} bytes"}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, EOFError) as error:
            return {"error": f"the request is not understood: {error}"}
        try:
            if texts:
                await self._take(texts)
        except StoreError as error:
            return {"error": str(error), "store": True}
        except Exception as error:  # noqa: BLE001  a shell: a request ends no daemon
            self._on_fault("the local socket", error)
            return {"error": f"a fault of alerting itself ({type(error).__name__}); the daemon's log has more"}
        return {"pid": os.getpid()}


def _listening(path: str) -> socket.socket:
    """Make a socket that listens, with its rights, before it has its name. Raises OSError; leaves what is no socket."""
    for name in (path, young := f"{path}.new"):
        found = _status(name)
        if found is not None and not stat.S_ISSOCK(found.st_mode):
            raise OSError(f"{name} is no socket: move it away")
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(FileNotFoundError):
            os.unlink(young)  # noqa: PTH108  a path as text
        with _address(young) as address:
            made.bind(address)
        os.chmod(young, 0o600)  # noqa: PTH101  as above
        made.listen(_AT_ONCE)
        os.rename(young, path)  # noqa: PTH104  as above
    except BaseException:
        made.close()
        raise
    return made


def _is_trusted(peer: Any) -> bool:
    """Tell whether the other side is of this user, or root. The socket's rights say so too; the kernel knows."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    form = "3i"
    _, uid, _ = struct.unpack(form, peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(form)))
    return uid in (0, os.geteuid())


def _read_request(line: bytes) -> dict[str, str | None]:
    """Read a request: the texts to take, none for a ping. Raises ValueError, or what reading odd JSON raises."""
    request = json.loads(line)
    if request.get("ping") is True:
        return {}
    texts: dict[str, str | None] = request["take"]
    for name, text in texts.items():
        _check(name, text)
    return texts


def _check(name: str, text: str | None) -> None:
    """See to it that a text is one that a command writes, under its own name. Raises ValueError or its like."""
    if name.startswith(SILENCE):
        if text is None:
            return
        silence = read_silence(text)
        Matchers(silence.matchers, compile_pattern)
        own = silence_name(silence.id)
    elif name.startswith(ACK):
        if text is None:
            return
        ack = read_ack(text)
        own = ack_name(ack.key)
    else:
        raise ValueError(f"{name[:80]!r} is not for others to write")
    if own != name:
        raise ValueError(f"{name[:80]!r} does not hold what its name says")


# ------------------------------------------------------------------------------------------- the commands' side


def hand_over(state: str, texts: Mapping[str, str | None], patience: Millis = PATIENCE) -> bool:
    """Have the daemon that holds a state put texts in force; tell whether there is one that listens.

    What is longer than one request may be goes in several: where a later one fails, the earlier ones are in force.
    Raises LockHeld when it gives no answer in time, StoreError when it could not save them, AlertingError when it
    refuses them.
    """
    done = 0
    for part in _parts(texts):
        answer = _ask(state, {"take": part}, patience)
        if answer is None and not done:
            return False
        before = f"{done} of {len(texts)} were put in force, then " if done else ""
        if answer is None:
            raise LockHeld(f"{before}the daemon that holds the state {state} was gone; look, then try again")
        if "error" in answer:
            raise (StoreError if answer.get("store") else AlertingError)(f"{before}the daemon says: {answer['error']}")
        done += len(part)
    return True


def _parts(texts: Mapping[str, str | None]) -> Iterator[dict[str, str | None]]:
    """Part texts so that each part fits a request. Raises AlertingError where one alone is too long."""
    part: dict[str, str | None] = {}
    size = 0
    for name, text in texts.items():
        length = len(json.dumps({name: text})) + 2
        if length > _MOST_BYTES - _FRAME:
            raise AlertingError(f"{name[:80]} is too long for one request ({length} bytes); shorten its comment")
        if size + length > _MOST_BYTES - _FRAME:
            yield part
            part, size = {}, 0
        part[name] = text
        size += length
    yield part


def ping(state: str, patience: Millis = 1_000) -> int:
    """Give the process id of the daemon that holds a state and answers; 0: there is none. Raises LockHeld."""
    answer = _ask(state, {"ping": True}, patience)
    pid = answer.get("pid") if answer is not None else 0
    return pid if isinstance(pid, int) else 0


def _ask(state: str, request: Mapping[str, object], patience: Millis) -> dict[str, Any] | None:
    path = path_of(state)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(patience / 1000)
        try:
            with _address(path) as address:
                asking.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            return None  # a daemon that is just starting, or one that died
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise LockHeld(f"{path} cannot be reached ({reason}); run this as the user who runs the daemon") from None
        try:
            asking.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(_line(asking))
        except (OSError, ValueError):
            answer = None
    if not isinstance(answer, dict):
        told = f"gave no answer within {patience / 1000:g} s; it may still do what it was asked: look, then try again"
        raise LockHeld(f"the daemon that holds the state {state} {told}")
    return answer


def _line(asking: socket.socket) -> bytes:
    """Read one line, each part of it within the time limit. Raises OSError."""
    parts = [b""]
    while not parts[-1].endswith(b"\n"):
        parts.append(asking.recv(65_536))
        if not parts[-1] or sum(map(len, parts)) > _MOST_BYTES:
            break
    return b"".join(parts)


# ------------------------------------------------------------------------------------------- the path


@contextmanager
def _address(path: str) -> Iterator[str]:
    """Give an address that is short enough for a socket: a long path goes by its folder's descriptor."""
    if len(os.fsencode(path)) <= _SHORT:
        yield path
        return
    folder, name = os.path.split(path)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _identity(path: str) -> tuple[int, int] | None:
    with suppress(OSError):
        found = os.lstat(path)
        return found.st_dev, found.st_ino
    return None
