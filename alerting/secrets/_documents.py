"""What secret stores over the network gave, kept in memory: one fetch a document, shared by all references into it.

Its law: who reads waits for no network, save where nobody ever asked, and then no longer than the deadline; a fetch
that fails takes nothing away. Nothing of it is ever written to a disk: a new process asks the store anew.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.errors import SecretError
from alerting.pool import begin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEADLINE = 5.0  # seconds for one fetch, from looking the host up to the last byte


class Fetched(NamedTuple):
    """A document as its store gave it."""

    text: str = ""
    fields: Mapping[str, Any] | None = None  # None: it is no JSON object
    tag: str = ""  # what the store knows this state of it by


class _Asking:
    """A fetch that runs, in a thread of its own."""

    def __init__(self) -> None:
        self.begun = False  # the thread has come
        self.over = threading.Event()


class Documents:
    """The documents of one store, by name. Safe to use from any thread."""

    def __init__(self, fetch: Callable[[str, Fetched | None], Fetched], deadline: float = DEADLINE) -> None:
        """`fetch` asks the store, given what is known, and raises SecretError; it runs in a thread of its own."""
        self._fetch = fetch
        self._deadline = deadline
        self._lock = threading.Lock()
        self._held: dict[str, Fetched] = {}
        self._trouble: dict[str, str] = {}  # why the last fetch failed
        self._asking: dict[str, _Asking] = {}

    def read(self, name: str) -> Fetched:
        """Give what is held; asks only for what nobody has asked for yet. Raises SecretError where nothing is held."""
        with self._lock:
            known = name in self._held or name in self._trouble or name in self._asking
        if not known:
            self.refresh(name)
        with self._lock:
            if name in self._held:
                return self._held[name]
            raise SecretError(self._trouble.get(name) or f"{name or 'the secret store'} is being asked; try again")

    def refresh(self, name: str) -> None:
        """Ask for the document now; blocks up to the deadline. Raises SecretError; what was held then stays."""
        with self._lock:
            asking = self._asking.get(name)
            if asking is None:
                asking = self._asking[name] = _Asking()
                if not begin(partial(self._ask, name, asking)):
                    asking.over.set()
        asking.over.wait(self._deadline)
        with self._lock:
            if self._asking.get(name) is asking:
                if asking.begun:  # it goes on; what it brings later still counts
                    self._trouble[name] = f"the secret store gave no answer within {self._deadline:g} s"
                else:
                    del self._asking[name]
                    self._trouble[name] = "the secret store could not be asked: the machine has no thread left for it"
            trouble = self._trouble.get(name)
            if trouble:
                raise SecretError(f"{trouble}; its last values stay in force" if name in self._held else trouble)

    def _ask(self, name: str, asking: _Asking) -> None:
        asking.begun = True
        fetched, trouble = None, ""
        try:
            fetched = self._fetch(name, self._held.get(name))
        except SecretError as error:
            trouble = str(error)
        except Exception as error:  # noqa: BLE001  libraries raise many kinds; texts may hold secrets, so only the name
            trouble = f"the secret store could not be asked: {type(error).__name__}"
        with self._lock:
            if self._asking.get(name) is asking:
                del self._asking[name]
            if fetched is None:
                self._trouble[name] = trouble
            else:
                self._held[name] = fetched
                self._trouble.pop(name, None)
        asking.over.set()


def field(fetched: Fetched, key: str, what: str) -> str:
    """Give one field as text; numbers and truths as JSON writes them. Raises SecretError that begins with `what`."""
    if fetched.fields is None:
        raise SecretError(f"{what} is no JSON object, so it has no key {key}; refer to the whole of it, without #{key}")
    if key not in fetched.fields:
        raise SecretError(f"{what} has no key {key}")
    value = fetched.fields[key]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    raise SecretError(f"{what}: what stands under {key} is no text")
