"""Reading every source once, for commands that look and decide nothing: `sources`, `query`, `validate --online`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from alerting.cli.terminal import say
from alerting.wiring import Program, dry_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.config.settings import Settings
    from alerting.model import Millis, Need, Reading
    from alerting.ports import Source


async def read(settings: Settings, needs: Sequence[Need], wait: Millis = 0) -> Sequence[Reading]:
    """Read what `needs` ask of the sources that offer it, all at once. Faults are in the readings, secrets are not.

    With `wait` a second time so much later, the first readings first.
    """
    program = Program(settings, say=say, dry=await dry_store(settings))
    try:
        await program.fetch_secrets(settings)
        asked = [(source, _of(source, needs)) for source in program.sources(settings)]
        readings = await _all(asked)
        if wait:
            await program.clock.sleep(wait)
            readings += await _all(asked)
        return [_clean(reading, program) for reading in readings]
    finally:
        await program.close()


async def _all(asked: Sequence[tuple[Source, Sequence[Need]]]) -> list[Reading]:
    return await asyncio.gather(*(source.fetch(these, None) for source, these in asked if these))


def _of(source: Source, needs: Sequence[Need]) -> Sequence[Need]:
    return [need for need in needs if need.namespace == source.namespace]


def _clean(reading: Reading, program: Program) -> Reading:
    if reading.fault is None:
        return reading
    return reading._replace(fault=reading.fault._replace(message=program.redact(reading.fault.message)))
