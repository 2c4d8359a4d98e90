"""Random choices from `random()` alone: its sequence is the same on every machine and in every release of Python."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

S, M, H = 1_000, 60_000, 3_600_000
T = TypeVar("T")


class Dice:
    """Random choices from `random()` alone."""

    def __init__(self, *seed: object) -> None:
        self._random = random.Random("/".join(map(str, seed))).random

    def random(self) -> float:
        return self._random()

    def chance(self, share: float) -> bool:
        return self._random() < share

    def whole(self, low: int, high: int) -> int:
        return low + int(self._random() * (high - low))

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self._random() * len(options))]

    def some(self, options: Sequence[T]) -> tuple[T, ...]:
        """Pick at least one."""
        chosen = tuple(each for each in options if self.chance(0.5))
        return chosen or (self.pick(options),)
