"""What the probes share: one look within a total deadline, every failure a typed reason; and how to connect.

A probe's `look` gives what it found, or raises: FailedError with the reason in words, or what the system raised.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from functools import lru_cache
from typing import TYPE_CHECKING

from alerting.errors import SecretError
from alerting.model import NO_LABELS, Fault, FaultKind, Labels, Reading, Sample
from alerting.net.http import revealed
from alerting.net.reach import OutOfReach, addresses, trouble_in, unconnected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from alerting.model import Metric, Millis, Secret, Value
    from alerting.ports import Clock, Resolve

    Found = tuple[str, Labels, Value]

_HIGHEST_PORT = 65_535


class FailedError(Exception):
    """A look that gave no usable answer: its class, and one clause for people."""

    def __init__(self, kind: FaultKind, text: str) -> None:
        self.kind = kind
        super().__init__(text)


class Probe:
    """One target of one entry: its name in the settings, what its samples carry, and how a look becomes a reading."""

    def __init__(self, name: str, clock: Clock, timeout: Millis, target: str = "", labels: Labels = NO_LABELS) -> None:
        self.name = name
        self._clock = clock
        self._timeout = timeout
        self._target = target
        self._labels = labels
        self.kinds: tuple[Metric, ...] = ()  # what the answer itself declared

    async def reading(self, look: Callable[[], Awaitable[Iterable[Found]]]) -> Reading:
        """Look once. Whatever happens is a reading; `up` is 1 exactly when there is no fault."""
        at, began = self._clock.now(), self._clock.monotonic()
        found: Iterable[Found] = ()
        fault = None
        try:
            async with asyncio.timeout(self._timeout / 1000):
                found = await look()
        except Exception as error:  # noqa: BLE001  a source never raises; `_named` says what each one means
            kind, text = _named(error, self._timeout)
            fault = Fault(kind, f"{self.name}: {text}{f' ({self._target})' if self._target else ''}")
        up = Sample("up", self._labels, 0.0 if fault else 1.0, at)
        samples = (up, *(Sample(name, _joined(labels, self._labels), value, at) for name, labels, value in found))
        took = self._clock.monotonic() - began
        return Reading(self.name, self.name, at, samples, self._labels, fault, took, () if fault else self.kinds)


def _joined(labels: Labels, target: Labels) -> Labels:
    return labels.merged(target.as_dict()) if labels and target else labels or target


def _named(error: Exception, timeout: Millis) -> tuple[FaultKind, str]:
    """Give the class and the words for what a look raised. Texts of libraries are left out: they may hold secrets."""
    if (found := unconnected(error)) is not None:
        return found
    match error:
        case FailedError():
            return error.kind, str(error)
        case SecretError():
            return FaultKind.SECRET, str(error)
        case OutOfReach():
            return FaultKind.NOT_ALLOWED, str(error)
        case TimeoutError():
            return FaultKind.TIMEOUT, f"no whole answer within {timeout / 1000:.3g} s"
        case ConnectionError() | asyncio.IncompleteReadError():
            return FaultKind.RESET, "the connection broke before the whole answer came"
        case UnicodeError():
            return FaultKind.MALFORMED, "this cannot be the name of a host"
        case OSError():
            return FaultKind.REFUSED, "the host cannot be reached"
    return FaultKind.INTERNAL, f"{type(error).__name__} while it was looked at"


# ------------------------------------------------------------------------------------------- connecting


def known(text: str | Secret) -> str:
    """Give a target as labels show it; a reference that cannot be followed now goes by its label."""
    try:
        return revealed(text)
    except SecretError:
        return str(getattr(text, "label", text))


def host_and_port(target: str | Secret) -> tuple[str, int]:
    """Part `host:port` or `[address]:port`. Raises FailedError, SecretError."""
    text = revealed(target)
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host[:1] == "[" and host[-1:] == "]" else host
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0  # noqa: PLR2004  digits of a port
    if not colon or not bare or not 0 < number <= _HIGHEST_PORT or (":" in bare and bare == host):
        raise FailedError(FaultKind.MALFORMED, "a target is written host:port, or [address]:port for IPv6")
    return bare, number


async def within_reach(host: str, port: int, reach: Sequence[str], resolve: Resolve) -> Sequence[str]:
    """Look the host up and give the addresses that may be connected to. Raises as `addresses`, and FailedError."""
    if trouble := trouble_in(reach):
        raise FailedError(FaultKind.MALFORMED, trouble)
    return await addresses(host, port, reach, resolve)


def trusting(ca_file: str | None) -> ssl.SSLContext:
    """Give the context that trusts the authorities of a PEM file, or those that come with the program.

    It is made anew when the file has changed. Raises FailedError where the file cannot be used.
    """
    import certifi  # noqa: PLC0415  only who checks certificates needs it

    file = ca_file or certifi.where()
    try:
        return _context(file, os.stat(file).st_mtime_ns)  # noqa: PTH116  a path as text
    except OSError as error:  # ssl.SSLError is one too
        text = f"cannot use the certificate file of the settings: {error.strerror or 'not valid PEM'}"
        raise FailedError(FaultKind.TLS, text) from None


@lru_cache(maxsize=8)
def _context(file: str, _changed: int) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=file)
