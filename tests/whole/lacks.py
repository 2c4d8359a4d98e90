"""Shortages that a daemon comes through, one after another, while alerts begin and end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.whole.scene import Daemon
    from tests.whole.series import Series


class Lacks:
    """What came of them. One alert fires all the time, another in every second shortage."""

    def __init__(self, scene: Series, daemon: Daemon, words: str, *, lasting: float) -> None:
        """`words` are what the daemon logs when it lacks something; each shortage is `lasting` so many seconds."""
        self._scene = scene
        self._daemon = daemon
        self._words = words
        self._lasting = lasting
        self.times = 0
        self.deaths = 0
        self.taken_back = 0  # alerts that did not stay as they were meanwhile
        self.slowest = 0.0  # s, until all is as it should be again

    def come_through(self, shortage: AbstractContextManager[None], begin: Callable[[], None] = lambda: None) -> None:
        """Go through one more. `begin` is called in it, before anything changes for the daemon."""
        scene, daemon, odd = self._scene, self._daemon, self.times % 2
        said = daemon.log.count(self._words)
        with shortage:
            begin()
            scene.say(during=10 if odd else 99)
            time.sleep(self._lasting)
            self.deaths += daemon.process.poll() is not None
            assert daemon.log.count(self._words) > said, "it has said why it is blind"
            self.taken_back += len(scene.pagerduty.incidents.open) != 1 + odd
        began = time.monotonic()
        scene.come_to_rest(30)
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.times += 1
