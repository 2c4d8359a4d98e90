"""What commands print: tables and colour on a terminal, plain text elsewhere, JSON where it was asked for."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "grey": "90", "bold": "1"}
_NARROWEST = 24


def coloured() -> bool:
    """Tell whether standard output is a terminal that wants colour (NO_COLOR is honoured)."""
    return _on_terminal() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def _on_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()  # None: started with it closed


def paint(text: str, colour: str) -> str:
    """Colour a text where colour is wanted."""
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if colour and coloured() else text


def clean(text: str) -> str:
    """Show control characters as escapes: outside text must not drive the terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class OutputLost(OSError):  # noqa: N818  it says what happened, as the names in errors.py do
    """Standard output takes nothing more: a full disk behind it, or a closed descriptor."""


def say(*lines: str) -> None:
    """Print lines to standard output. Raises OutputLost; BrokenPipeError where a pipe's reader has gone."""
    with _output():
        for line in lines:
            print(line)  # noqa: T201


def flush() -> None:
    """See to it that what was printed is out; raises as `say` does."""
    with _output():
        if sys.stdout is not None:
            sys.stdout.flush()


@contextmanager
def _output() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputLost(error.errno, error.strerror) from None


def warn(*lines: str) -> None:
    """Print lines to standard error, whatever is in them as text: what it says may come from files and sources."""
    for line in lines:
        for part in line.split("\n"):
            print(clean(part), file=sys.stderr)  # noqa: T201


def say_json(value: Any) -> None:
    """Print one JSON document."""
    import json  # noqa: PLC0415  only where it was asked for

    say(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], colours: Sequence[str] = ()) -> list[str]:
    """Lay out rows in columns; the last column is wrapped to the terminal, or left long where there is none.

    `colours` gives one colour a row for its first column.
    """
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max((len(row[i]) for row in [list(head), *cells]), default=0) for i in range(len(head))]
    terminal = _columns()
    before = sum(width + 2 for width in widths[:-1])
    last = max(_NARROWEST, terminal - before) if terminal else 0
    lines = [paint("  ".join(name.ljust(width) for name, width in zip(head, widths, strict=True)).rstrip(), "bold")]
    for number, row in enumerate(cells):
        colour = colours[number] if number < len(colours) else ""
        start = [cell.ljust(width) for cell, width in zip(row[:-1], widths[:-1], strict=True)]
        if start:
            start[0] = paint(start[0], colour)
        pieces = _wrapped(row[-1], last)
        lines.append("  ".join([*start, pieces[0]]).rstrip())
        lines.extend(" " * before + piece for piece in pieces[1:])
    return lines


def _columns() -> int:
    """Give the width of the terminal; 0 where standard output is none."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns if _on_terminal() else 0
    except (OSError, ValueError):
        return 0


def _wrapped(text: str, width: int) -> list[str]:
    if not width or len(text) <= width:
        return [text]
    lines, line = [], ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]
