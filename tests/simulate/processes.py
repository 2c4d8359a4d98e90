"""Playing on several cores: seeds have nothing to do with one another."""

from __future__ import annotations

import gc
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

from tests.simulate import gallery, mistakes

if TYPE_CHECKING:
    from tests.simulate.mistakes import Find


def workers(jobs: int) -> ProcessPoolExecutor:
    """Give so many processes, each with its own interpreter."""
    return ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), settle_collector)


def settle_collector() -> None:
    """Collect seldom: a run makes few cycles, and many objects that live as long as it does."""
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


def look_for(name: str) -> Find:
    """Find a mistake, in whichever process."""
    assert name in gallery.GALLERY
    return mistakes.find(name)
