"""Log lines: one JSON object a line for machines, short lines for people. Every line has an `action`.

The standard `logging` does the work; this module shapes, cleans and carries. Outside text cannot split a line or
control a terminal, and known secrets are starred out of every text before it becomes part of one. Lines are written
by a thread of their own: a pipe that nobody reads or a full disk delays no evaluation and no page. What could not be
written is counted, and said when writing works again.
"""

from __future__ import annotations

import json
import logging
import math
import os
import queue
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

import alerting

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerting.model import Redact

LOGGER = "alerting"
_WAITING = 10_000  # lines that wait to be written, at most
_LINE = 32_768  # characters of one text in a line
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def set_up(level: str, form: str, redact: Redact, environment: str = "", stream: TextIO | None = None) -> Carrier:
    """Send the program's log lines to standard error. `form` is `json` or `text`; `environment` goes into each."""
    carrier = Carrier(sys.stderr if stream is None else stream)
    handler = _Handler(carrier)
    handler.setFormatter(_Lines(_json if form == "json" else _text, redact, environment))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    carrier.log.setLevel(level.upper())
    return carrier


class Carrier:
    """Writes lines in a thread of its own, in order; drops and counts what it cannot write."""

    def __init__(self, stream: TextIO | None) -> None:
        """Write to the stream's file; None, as where standard error is closed: every line is lost."""
        self.lost = 0
        self.log = logging.getLogger(LOGGER)
        self._file, self._encoding = (-1, "ascii") if stream is None else (stream.fileno(), stream.encoding)
        self._said = 0  # of those lost, the ones that were told
        self._lines: queue.Queue[str | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._thread.start()

    def put(self, line: str) -> bool:
        """Hand over a line; tell whether there was room for it."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self.lost += 1
            return False
        return True

    def close(self, seconds: float = 1.0) -> None:
        """Write what waits, for no longer than `seconds`."""
        if self._thread.is_alive():
            try:
                self._lines.put(None, timeout=seconds)
            except queue.Full:
                return
            self._thread.join(seconds)

    def _work(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._write(line)
            except OSError:
                self.lost += 1
                continue
            if self.lost > self._said:
                lost, self._said = self.lost - self._said, self.lost
                self.log.warning("%d log lines could not be written", lost, extra={"action": "log_lost", "lost": lost})

    def _write(self, line: str) -> None:
        """Write past the stream's buffer: one that cannot be emptied would hold up the end of the process."""
        data = f"{line}\n".encode(self._encoding, "backslashreplace")
        while data:
            data = data[os.write(self._file, data) :]


class _Handler(logging.Handler):
    def __init__(self, carrier: Carrier) -> None:
        super().__init__()
        self._carrier = carrier

    def emit(self, record: logging.LogRecord) -> None:
        """Shape here, where the secrets are known; write elsewhere."""
        try:
            self._carrier.put(self.format(record))
        except Exception:  # noqa: BLE001  a line that cannot be shaped must not harm whoever logged it
            self._carrier.lost += 1


class _Lines(logging.Formatter):
    def __init__(self, shape: Callable[[dict[str, Any]], str], redact: Redact, environment: str) -> None:
        super().__init__()
        self._shape = shape
        self._redact = redact
        self._environment = environment

    def format(self, record: logging.LogRecord) -> str:
        """Give one line: what every line has, the ids that came along, and of faults the trace."""
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "context": record.name,
            "message": record.getMessage(),
            "env": self._environment,
            "version": alerting.__version__,
        }
        line |= {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info and record.exc_info[0] is not None:
            line["trace"] = self.formatException(record.exc_info)
        return self._shape({name: _plain(value, self._redact) for name, value in line.items()})


def _plain(value: object, redact: Redact) -> object:
    """Make a value one that JSON has, without secrets: they are taken out before quoting can hide them."""
    if isinstance(value, str):  # most are
        return _cut(redact(str(value)))
    if isinstance(value, dict):
        return {redact(str(key)): _plain(item, redact) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, redact) for item in value]
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _cut(redact(str(value)))


def _cut(text: str) -> str:
    return text if len(text) <= _LINE else f"{text[:_LINE]}…"


def _json(line: dict[str, Any]) -> str:
    return json.dumps(line)


def _text(line: dict[str, Any]) -> str:
    time = datetime.fromisoformat(line.pop("timestamp")).astimezone().strftime("%H:%M:%S")
    level, message, trace = line.pop("level"), line.pop("message"), line.pop("trace", "")
    for name in ("context", "env", "version", "action"):
        line.pop(name, None)
    parts = (f"{time} {level:7} {message}", " ".join(f"{name}={value}" for name, value in line.items()), trace)
    shown = "  ".join(part for part in parts if part)
    return shown if shown.isprintable() else "".join(map(_shown, shown))


def _shown(char: str) -> str:
    """Give a character, or its escape where it would control a terminal or hide something."""
    if char.isprintable():
        return char
    number = ord(char)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"  # noqa: PLR2004  widths of escapes
