"""Log lines: one event is one line of valid JSON, terminals are not controlled, and nobody waits for a reader."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import alerting
from alerting.log import Carrier, set_up
from alerting.model import Secret
from alerting.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.figures import Figure

PIECES = [
    *(chr(number) for number in (*range(0x20), *range(0x7F, 0xA0))),  # C0, DEL, C1: 65 of them
    "\u2028", "\u2029", "\u0085", "\ufeff", "\u200b", "\u202e", "\u2066", "\u00ad", "\ud800", "\udfff", "\U000e0001",
    "\r\n", "\n\n", "\x1b[2J", "\x1b[31m", "\x1b]0;title\x07", "\x1b]8;;http://evil\x07", "\x9b2J", "\x08\x08",
    '"', "\\", '\\"', '"}\n{"level": "error"', "</script>", "%s%n", "{0}", "{}", "\\u000a", "NaN", "'", "`$(reboot)`",
    "a" * 100_000, "é" * 20_000, "\U0001f600", "🏳️‍🌈", "a\tb",
]  # fmt: skip
assert len(PIECES) >= 100


class Lines:
    """A file in memory with the two features of a stream that are needed."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self._file = os.memfd_create("lines")
        self._text: str | None = None

    def fileno(self) -> int:
        return self._file

    def getvalue(self) -> str:
        """What was written so far, or until it was closed."""
        size = 0 if self._text is not None else os.fstat(self._file).st_size
        return os.pread(self._file, size, 0).decode() if self._text is None else self._text

    def close(self) -> None:
        self._text = self.getvalue()
        os.close(self._file)


@contextmanager
def logged(form: str, redact: Any = str, environment: str = "test") -> Iterator[tuple[logging.Logger, Lines]]:
    """The logger of a daemon, over a file; complete when the block ends."""
    stream = Lines()
    root, own = logging.getLogger(), logging.getLogger("alerting")
    before = (root.handlers[:], root.level, own.level)
    carrier = set_up("debug", form, redact, environment, stream)  # type: ignore[arg-type]
    try:
        yield carrier.log, stream
        carrier.close()
        assert carrier.lost == 0
    finally:
        stream.close()
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        own.setLevel(before[2])


def test_a_line_has_what_the_guide_asks_for() -> None:
    """timestamp, level, context, message, env, version, ids; of a fault the trace."""
    with logged("json") as (log, stream):
        log.info("sent: %s", "x", extra={"action": "delivery", "notification": "n1", "attempt": 2})
        log.error("a fault", exc_info=ValueError("broken"), extra={"action": "fault"})
    first, second = map(json.loads, stream.getvalue().splitlines())
    timestamp = first.pop("timestamp")
    assert timestamp.endswith("+00:00")
    assert first == {
        "level": "info",
        "context": "alerting",
        "message": "sent: x",
        "env": "test",
        "version": alerting.__version__,
        "action": "delivery",
        "notification": "n1",
        "attempt": 2,
    }
    assert second["level"] == "error"
    assert "ValueError: broken" in second["trace"]


def test_f64_one_event_is_one_line_of_valid_json(figure: Figure) -> None:
    """F64: outside text in the message, in a field, in a list, in an exception."""
    with logged("json") as (log, stream):
        for piece in PIECES:
            extra = {"action": "x", "field": piece, "many": [piece, {piece: piece}]}
            log.error("<%s>", piece, exc_info=ValueError(f"<{piece}>"), extra=extra)
    lines = stream.getvalue().split("\n")
    assert lines.pop() == ""
    split = abs(len(lines) - len(PIECES)) + sum(not _is_json(line) for line in lines)
    figure("split or invalid lines", split, at_most=0, n=len(PIECES))
    for piece, line in zip(PIECES, lines, strict=True):
        assert line.isascii()
        assert line.isprintable()
        found = json.loads(line)
        assert found["message"][:30_000] == f"<{piece}>"[:30_000]
        assert found["field"][:30_000] == piece[:30_000]


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def test_f64_a_terminal_is_not_controlled(figure: Figure) -> None:
    """F64: every character that is not shown as itself is shown as its escape."""
    with logged("text") as (log, stream):
        for piece in PIECES:
            log.info("<%s>", piece, extra={"action": "x", "field": piece})
    lines = stream.getvalue().split("\n")
    assert lines.pop() == ""
    assert len(lines) == len(PIECES)
    figure("split or invalid lines", sum(not line.isprintable() for line in lines), at_most=0, n=len(PIECES))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object, {1: {2: (3,)}}, b"\xff", {"a", "b"}, None, True])
def test_any_value_makes_a_line_that_strict_readers_take(value: Any) -> None:
    """NaN and Infinity are no JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    with logged("json") as (log, stream):
        log.info("x", extra={"field": value})
    assert "field" in json.loads(stream.getvalue(), parse_constant=refuse)


SECRETS = ["hunter2-hunter2", 'with"quote\\and/slash', "päss wörd+&=%", '", "', "true", "https://h.example/T0/B0/XyZ"]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("form", ["json", "text"])
def test_a_secret_is_in_no_line_and_breaks_none(secret: str, form: str) -> None:
    """Wherever it stands, and whatever it looks like."""
    redact = Redactor()
    made = Secret.literal(secret)
    made.reveal()
    redact.watch([made])
    with logged(form, redact) as (log, stream):
        extra = {"action": "x", "field": {secret: [secret]}, "repr": repr(secret)}
        log.error("to %s", secret, exc_info=ValueError(f"key={secret}"), extra=extra)
    line = stream.getvalue()
    assert line.count("\n") == 1
    values = json.loads(line) if form == "json" else {"line": line.replace(", ", "")}
    values = {name: value for name, value in values.items() if name in ("message", "field", "trace", "repr", "line")}
    if secret not in ('", "', "true"):  # these are everywhere: only that nothing breaks
        assert secret not in str(values)
        assert json.dumps(secret)[1:-1] not in line
    assert "***" in line


def test_f72_a_pipe_that_nobody_reads_delays_nobody(figure: Figure) -> None:
    """F72: logging goes on at once, what does not fit is counted, and is told when somebody reads again."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        carrier = Carrier(stream)
        began = time.monotonic()
        fitted = sum(carrier.put("x" * 500) for _ in range(11_000))
        figure(
            "logging 11,000 lines that nobody reads",
            round(time.monotonic() - began, 2),
            at_most=2,
            n=1,
            unit="s",
            timed=True,
        )
        assert fitted < 11_000
        assert carrier.lost == 11_000 - fitted
        seen: list[int] = []

        def read() -> None:
            while piece := os.read(reading, 65_536):
                seen.append(piece.count(b"\n"))

        reader = threading.Thread(target=read)
        reader.start()
        carrier.close(10)
    reader.join(10)
    os.close(reading)
    assert sum(seen) == fitted


def test_f72_a_stream_that_is_closed_or_full_loses_lines_and_says_so_later() -> None:
    """F72: the line that says how many were lost comes with the first that can be written again."""
    reading, writing = os.pipe()
    os.close(reading)  # whoever writes is told that nobody reads
    stream = Lines()
    kept = os.dup(stream.fileno())
    os.dup2(writing, stream.fileno())
    root, own = logging.getLogger(), logging.getLogger("alerting")
    before = (root.handlers[:], root.level, own.level)
    try:
        carrier = set_up("info", "json", str, "", stream)
        for _ in range(3):
            carrier.log.info("lost")
        ends = time.monotonic() + 5
        while carrier.lost < 3 and time.monotonic() < ends:
            time.sleep(0.01)
        os.dup2(kept, stream.fileno())
        carrier.log.info("kept")
        while "log_lost" not in stream.getvalue() and time.monotonic() < ends:
            time.sleep(0.01)
        carrier.close()
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        own.setLevel(before[2])
    stream.close()
    os.close(kept)
    os.close(writing)
    messages = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert messages == ["kept", "3 log lines could not be written"]
