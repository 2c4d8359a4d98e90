"""What is read: one source per target, and the inbox to which jobs report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alerting.model import Millis, Need, Reading


class Source(Protocol):
    """One target that is read. `build(section, tools)` of alerting.sources.<kind> gives one per target."""

    name: str  # in the settings
    namespace: str  # model.SHARED for metrics pages, else the name
    # Where an entry has several targets, `target: str` says which one this is. Where many entries and targets may be
    # at one host, `host: str` says which host that is now; it is not asked by too many of them at once.

    async def fetch(self, needs: Sequence[Need], since: Millis | None) -> Reading:
        """Read once, within the total deadline. Never raises for what the world does: that is a Fault.

        `needs` are those that live rules have of this namespace: read no more than they ask for where the
        service is asked per metric. `since` is the end of the newest bucket already held (count metrics).
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@runtime_checkable
class Inbox(Source, Protocol):
    """A source to which jobs report, instead of being asked. Its reports are kept in the state, as texts by job."""

    jobs: Mapping[str, object]  # by name: all that may report

    def admits(self, token: str) -> bool:
        """Tell whether a token is the right one, in constant time. Raises SecretError."""
        ...

    def read(self, body: bytes, *, failed: bool) -> str:
        """Turn a report into the text that is to be kept. Raises ValueError that says what is wrong with it."""
        ...

    def take(self, kept: Mapping[str, str]) -> None:
        """Take in reports as they were kept."""
        ...

    def expect(self) -> Mapping[str, str]:
        """Begin to wait for the jobs of which nothing is known; give what is to be kept of them."""
        ...
