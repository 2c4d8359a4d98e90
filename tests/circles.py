"""What nobody has any more and is still there: objects that hold each other in a circle, until the collector runs.

A daemon's collector seldom does (`cli/main.py`), so that what a reload or a request leaves so is memory that grows.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def circles() -> Iterator[list[str]]:
    """Give a list that holds, when the block is over, the kinds of our own objects that it has left in circles."""
    left: list[str] = []
    gc.collect()
    gc.disable()
    try:
        yield left
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kinds = {type(each) for each in gc.garbage}
        left += sorted(each.__qualname__ for each in kinds if each.__module__.startswith("alerting."))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        gc.collect()
