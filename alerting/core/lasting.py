"""What is wrong and stays wrong: said when it begins, again every five minutes, and when it is over.

A full disk is found anew by every tick and every attempt to send. Who reads the log must hear of it at once, must not
lose everything else among its repeats, and must see that it lasts, and when it ended. Several parts can have one
trouble: it is said once for all of them, and is over when the last of them is well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alerting.model import Millis

AGAIN: Millis = 300_000  # between two sayings of one trouble that lasts
_MOST = 1_000  # troubles that are remembered as said; texts that hold numbers could be endless


_FRAMES = 4  # of a trace that tell two faults apart; what lies further up differs by who happened to wait


def kind_of(fault: BaseException) -> str:
    """Say which fault this is: its type, and the lines that led there. Its text may be another each time."""
    lines, trace = [], fault.__traceback__
    while trace is not None:
        lines.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
        trace = trace.tb_next
    once = list(dict.fromkeys(lines))  # a fault that is raised again carries its earlier ways
    return f"{type(fault).__name__} at {', '.join(once[-_FRAMES:])}"


class Lasting:
    """The troubles of now, by the part that has them. Times are of a clock that never steps."""

    def __init__(self) -> None:
        self._troubles: dict[str, str] = {}
        self._said: dict[str, Millis] = {}  # trouble -> when it was last said

    def wrong(self, part: str, trouble: str, now: Millis) -> bool:
        """Take note that a part has this trouble; tell whether that is to be said now."""
        self._troubles[part] = trouble
        said = self._said.get(trouble)
        if said is not None and now - said < AGAIN:
            return False
        if len(self._said) >= _MOST:
            self._said.clear()
        self._said[trouble] = now
        return True

    def well(self, part: str) -> str:
        """Take note that a part is well; give the trouble that is over with that, or nothing."""
        trouble = self._troubles.pop(part, "")
        if not trouble or trouble in self._troubles.values():
            return ""
        self._said.pop(trouble, None)
        return trouble
