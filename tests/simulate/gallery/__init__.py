"""The gallery: mistakes that programs of this kind have made, or that this one could be edited into.

Each says in one sentence what the program does wrong. Where there is a choice they change a port or a public method,
so that the gallery outlives changes of what stands behind.
"""

from __future__ import annotations

from tests.simulate.gallery import judging, people, recalls, receivers, saving, settings, telling, unsaved
from tests.simulate.mistakes import GALLERY

__all__ = ["GALLERY", "judging", "people", "recalls", "receivers", "saving", "settings", "telling", "unsaved"]
