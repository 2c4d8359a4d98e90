"""The machine and the network, as whoever needs them sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alerting.model import Millis

T = TypeVar("T")


class Clock(Protocol):
    """Both times. Stamps are by the wall; durations, deadlines and pace are by the monotonic clock."""

    def now(self) -> Millis:
        """Wall time, ms since 1970 UTC. May step."""
        ...

    def monotonic(self) -> Millis:
        """Milliseconds from an arbitrary start. Never steps, never goes back."""
        ...

    async def sleep(self, duration: Millis) -> None:
        """Wait for `duration` of monotonic time."""
        ...


class HttpAnswer(NamedTuple):
    """An answer that was read whole."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes  # decoded (gzip), not longer than the limit
    tls_ends: Millis | None = None  # when the server's certificate ends; None without TLS


class Http(Protocol):
    """Bounded HTTP: a total deadline, a limit on decoded bytes while streaming, no redirects, one request."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Sequence[tuple[str, str]] | None = None,
        body: bytes | None = None,
        deadline: Millis = 10_000,
        limit: int = 8 * 1024 * 1024,
        verify: bool | str = True,
        cert: tuple[str, str] | None = None,
        reach: Sequence[str] = (),
        keep: bool = False,
    ) -> HttpAnswer:
        """Make one request. Any status is an answer; anything else raises alerting.net.http.HttpFailed.

        `reach`: what may be connected to, by the words and networks of alerting.net.reach; empty: its default.
        `keep`: the connection may be one that was kept open, and is kept for the next request; never for a probe.
        """
        ...

    async def close(self) -> None:
        """Close idle connections."""
        ...


class Resolve(Protocol):
    """Looks up names of hosts."""

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Give the addresses of a host, best first. Raises OSError, or ValueError for what cannot be a name."""
        ...


class Blocking(Protocol):
    """Runs blocking library calls in a bounded pool of its own; a call that hangs holds up no exit."""

    async def __call__(self, call: Callable[[], T], deadline: Millis) -> T:
        """Run `call` in a thread. Raises TimeoutError after `deadline`; the thread is then left alone."""
        ...


class Tools(NamedTuple):
    """What `build` of a source or a notifier is given besides its section."""

    clock: Clock
    http: Http
    blocking: Callable[[int], Blocking]  # a new pool with so many threads
    instance: str  # this host's name, for messages
    version: str
    print: Callable[[str], None]  # standard output, for the console receiver
    resolve: Resolve
    external_url: str = ""  # where people find this installation
