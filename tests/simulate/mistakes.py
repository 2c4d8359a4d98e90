"""Planting mistakes: what the simulator is worth is what it finds. The mistakes themselves are in `gallery`.

A mistake is a small change of the real classes that is made at run time and undone afterwards. One that cannot be
planted any more, because what it changes is gone, raises: a gallery that plants nothing would be found by nobody.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.engine import Engine
from tests.simulate.run import simulate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, MutableMapping

    from alerting.model import Notification
    from alerting.ports import Change

LONGEST = 600.0  # s that may go by until a mistake is found
HOURS = 1.0  # simulated, of each seed that looks for it
_MISSING = object()


@dataclass(slots=True)
class Plant:
    """What is changed now."""

    changed: list[tuple[Any, str, Any]] = field(default_factory=list)
    items: list[tuple[MutableMapping[Any, Any], Any, Any]] = field(default_factory=list)

    def swap(self, owner: Any, name: str, new: Any) -> None:
        """Put something else in the place of a function, a method or a value."""
        old = vars(owner).get(name, _MISSING)
        if old is _MISSING:
            raise LookupError(f"{owner.__name__} has no {name} any more: the gallery must follow the code")
        self.changed.append((owner, name, old))
        setattr(owner, name, new)

    def swap_item(self, table: Any, key: Any, new: Any) -> None:
        """Put something else into a table."""
        self.items.append((table, key, table[key]))
        table[key] = new

    def committing(self, commit: Callable[[Any, Change, Engine], Awaitable[None]]) -> None:
        """Have the engine save its turns by `commit(store, change, engine)` instead of `store.commit(change)`."""
        original = Engine.__init__

        def build(engine: Engine, store: Any, *arguments: Any, **options: Any) -> None:
            original(engine, _Between(store, commit, engine), *arguments, **options)

        self.swap(Engine, "__init__", build)

    def altering(self, alter: Callable[[Change, Engine], Change]) -> None:
        """Have the engine save something else than it means to."""

        async def commit(store: Any, change: Change, engine: Engine) -> None:
            await store.commit(alter(change, engine))

        self.committing(commit)

    def rewriting(self, alter: Callable[[Notification, Engine], Notification | None]) -> None:
        """Have the engine owe other messages than it means to; None leaves one out."""

        def altered(change: Change, engine: Engine) -> Change:
            messages = [alter(message, engine) for message in change.notifications]
            return change._replace(notifications=tuple(each for each in messages if each is not None))

        self.altering(altered)

    def undo(self) -> None:
        """Take everything back, newest first."""
        while self.changed:
            setattr(*self.changed.pop())
        while self.items:
            table, key, old = self.items.pop()
            table[key] = old


class _Between:
    """A store in front of the engine's store."""

    def __init__(self, store: Any, commit: Callable[[Any, Change, Engine], Awaitable[None]], engine: Engine) -> None:
        self._store = store
        self._commit = commit
        self._engine = engine

    async def commit(self, change: Change) -> None:
        await self._commit(self._store, change, self._engine)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


GALLERY: dict[str, Callable[[Plant], None]] = {}


def mistake(planting: Callable[[Plant], None]) -> Callable[[Plant], None]:
    """Hang a mistake in the gallery under its name."""
    GALLERY[planting.__name__] = planting
    return planting


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Let the program make a mistake; none where `name` is empty."""
    plant = Plant()
    try:
        if name:
            GALLERY[name](plant)
        yield
    finally:
        plant.undo()


class Find(NamedTuple):
    """How a mistake was found."""

    name: str
    violation: str  # empty: it was not
    seeds: int
    seconds: float


def find(name: str, longest: float = LONGEST) -> Find:
    """Play seeds with a mistake planted until one of them goes wrong that goes well without it, or time is over."""
    began, seed = time.monotonic(), 0
    while True:
        with planted(name):
            violation = simulate(seed, HOURS).violation
        if violation and simulate(seed, HOURS).violation:
            violation = ""  # of the seed, not of the mistake
        seed += 1
        seconds = time.monotonic() - began
        if violation or seconds > longest:
            return Find(name, violation, seed, seconds)
