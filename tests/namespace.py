"""Work in a namespace of its own: what it does there to mounts or to the network nobody else notices."""

from __future__ import annotations

import ctypes
import os
import threading
from enum import IntEnum
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


class Kind(IntEnum):
    """What is one's own there; the flags of unshare(2)."""

    MOUNTS = 0x00020000
    NETWORK = 0x40000000


def in_own(kind: Kind, work: Callable[[], None]) -> None:
    """Do it in a thread with a namespace of its own; threads and processes that it starts are in it too.

    Raises what it raises. Skips the test where none can be had.
    """
    raised: list[BaseException] = []

    def there() -> None:
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(kind):  # of this thread
                reason = os.strerror(ctypes.get_errno())
                pytest.skip(f"no {kind.name.lower()} of its own can be had here: {reason}")
            work()
        except BaseException as error:  # noqa: BLE001  a skip is one too; it is raised again below
            raised.append(error)

    thread = threading.Thread(target=there, name=f"with its own {kind.name.lower()}")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
