"""Log lines: one JSON object a line for machines, short lines for people. Every line has an `action`.

The standard `logging` does the work; this module only shapes and cleans. Control characters never reach a
terminal or split a line, and known secrets are starred out by the injected function.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

import alerting

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerting.model import Redact

LOGGER = "alerting"
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def set_up(level: str, form: str, redact: Redact, stream: TextIO | None = None) -> logging.Logger:
    """Send the program's log lines to standard error. `form` is `json` or `text`."""
    target = stream or sys.stderr
    handler = logging.StreamHandler(target)
    handler.setFormatter(_Lines(_json if form == "json" else _text, redact))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logger = logging.getLogger(LOGGER)
    logger.setLevel(level.upper())
    return logger


class _Lines(logging.Formatter):
    def __init__(self, shape: Callable[[logging.LogRecord, dict[str, object]], str], redact: Redact) -> None:
        super().__init__()
        self._shape = shape
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        extra = {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info and record.exc_info[0] is not None:
            extra["exception"] = self.formatException(record.exc_info)
        return self._redact(self._shape(record, extra))


def _json(record: logging.LogRecord, extra: dict[str, object]) -> str:
    line = {
        "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "context": record.name,
        "message": record.getMessage(),
        "version": alerting.__version__,
        **extra,
    }
    return json.dumps(line, default=str, ensure_ascii=True)


def _text(record: logging.LogRecord, extra: dict[str, object]) -> str:
    time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
    fields = " ".join(f"{name}={value}" for name, value in extra.items() if name not in ("action", "exception"))
    line = f"{time} {record.levelname.lower():7} {record.getMessage()}{'  ' + fields if fields else ''}"
    if "exception" in extra:
        line += f" | {extra['exception']}"
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}" for c in line)  # noqa: PLR2004  one byte
