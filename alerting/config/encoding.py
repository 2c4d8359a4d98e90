"""Whether bytes are a text at all, before the YAML parser sees them."""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from typing import NamedTuple

# Controls in one and in two bytes; and what counts as a line end to YAML 1.1 alone, so that lines could not be counted.
_CONTROL = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]|\r(?!\n)",
)
_PIECE = 64 * 1024


class Refused(NamedTuple):
    """Why bytes are no text, from which byte on, and what to do."""

    message: str
    offset: int
    hint: str


def refused(data: bytes) -> Refused | None:
    """Say why bytes are not UTF-8 text without control characters; None: they are."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return Refused("is UTF-16 or UTF-32 from here on", 0, "save the file as UTF-8")
    control = _CONTROL.search(data)
    if control:
        code = ord(control[0].decode("utf-8"))
        return Refused(f"a control character (U+{code:04X}) stands here", control.start(), "remove it")
    odd = None if data.isascii() else _first_odd(data)
    return None if odd is None else Refused("is not UTF-8 from here on", odd, "save the file as UTF-8")


def _first_odd(data: bytes) -> int | None:
    """Find the first byte that is not UTF-8; piece by piece, because one odd letter makes all others four bytes."""
    decoder = getincrementaldecoder("utf-8")()
    for start in range(0, len(data), _PIECE):
        before = len(decoder.getstate()[0])
        try:
            decoder.decode(data[start : start + _PIECE], final=start + _PIECE >= len(data))
        except UnicodeDecodeError as error:
            return start - before + error.start
    return None
