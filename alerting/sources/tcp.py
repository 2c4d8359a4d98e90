"""A TCP port: does it take connections, how fast, and does it say what it should.

One target is one source, told apart by the label `target`. Nothing is sent unless the settings say what. An answer
counts when it holds the text of `expect`; what else came is neither kept nor shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.model import NO_LABELS, FaultKind, Labels
from alerting.net.http import revealed
from alerting.net.reach import connected
from alerting.sources._probe import FailedError, Probe, host_and_port, known, trusting, within_reach

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from alerting.model import Millis, Need, Reading, Secret, Section
    from alerting.ports import Tools
    from alerting.sources._probe import Found

_LIMIT = 64 * 1024  # bytes within which the expected text must come


def build(section: Section, tools: Tools) -> Sequence[Tcp]:
    """Build one source for each target of a `type: tcp` entry."""
    return [Tcp(target, section, tools) for target in section.values["targets"]]


class Tcp:
    """Connects to one host and port."""

    def __init__(self, target: str | Secret, section: Section, tools: Tools) -> None:
        values = section.values
        self.name = self.namespace = section.name
        self._target = target
        self._values = values
        self._timeout: Millis = values["timeout"]
        self._clock = tools.clock
        self._resolve = tools.resolve
        self.target = shown = known(target)
        self._probe = Probe(section.name, tools.clock, self._timeout, shown, Labels({"target": shown}))

    async def fetch(self, needs: Sequence[Need], since: Millis | None) -> Reading:  # noqa: ARG002  one look tells all
        """Connect once; within the same connection, TLS and `expect` if they are asked for."""
        return await self._probe.reading(self._look)

    async def close(self) -> None:
        """Nothing of its own to let go of."""

    async def _look(self) -> list[Found]:
        values = self._values
        host, port = host_and_port(self._target)
        ca_file = revealed(values["ca_file"]) if "ca_file" in values else None
        send, expect = (revealed(values.get(key, "")).encode() for key in ("send", "expect"))
        began = self._clock.monotonic()
        found = await within_reach(host, port, values.get("reach", ()), self._resolve)
        async with connected(found, port, self._timeout) as (reader, writer):
            connect_time = self._clock.monotonic() - began
            if values["tls"]:
                await writer.start_tls(trusting(ca_file), server_hostname=host)
            if send:
                writer.write(send)
                await writer.drain()
            await _awaited(reader, expect)
        took = self._clock.monotonic() - began
        return [("connect_time", NO_LABELS, connect_time / 1000), ("response_time", NO_LABELS, took / 1000)]


async def _awaited(reader: asyncio.StreamReader, expect: bytes) -> None:
    """Read until the expected text has come. Raises FailedError."""
    came = b""
    while expect not in came:
        more = await reader.read(_LIMIT)
        if not more and not came:
            raise FailedError(FaultKind.RESET, "it closed the connection without a word")
        if not more:
            raise FailedError(FaultKind.MALFORMED, f"it said {len(came)} bytes, but not what `expect` names")
        came += more
        if len(came) > _LIMIT:
            raise FailedError(FaultKind.TOO_LARGE, f"{_LIMIT} bytes came without what `expect` names")
