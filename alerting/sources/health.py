"""A health endpoint: every field of its JSON answer is a metric, and the probe adds its own.

The HTTP status decides nothing where a JSON object came: apps answer 200 with the database down, and 503 with
the very fields that say why. What is not one whole, unambiguous JSON object is a fault, never a guess: of two
equal keys nobody knows which is meant, and NaN or 1e999 is no measurement. What becomes of each kind of value
stands at `alerting.fields.read_fields`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.endpoint import Endpoint
from alerting.fields import UnreadableError, read_fields
from alerting.model import NO_LABELS, Fault, FaultKind, Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.model import Millis, Need, Section
    from alerting.ports import HttpAnswer, Tools

OWN = ("up", "status_code", "response_time", "tls_expires_in")  # hide a field of the same name at the top


def build(section: Section, tools: Tools) -> Sequence[Health]:
    """Build the source of one `type: health` entry."""
    return (Health(section, tools),)


class Health:
    """Reads one health endpoint."""

    def __init__(self, section: Section, tools: Tools) -> None:
        values = section.values
        self.name = self.namespace = section.name
        self._clock = tools.clock
        self._endpoint = Endpoint(
            tools.http,
            tools.clock,
            section.name,
            values["url"],
            headers=values.get("headers"),
            deadline=values["timeout"],
            ca_file=values.get("ca_file"),
            reach=values.get("reach", ()),
        )

    async def fetch(self, needs: Sequence[Need], since: Millis | None) -> Reading:  # noqa: ARG002  one page holds all
        """Read all fields at once; there is nothing to choose from."""
        at, began = self._clock.now(), self._clock.monotonic()
        answer = await self._endpoint.get()
        took = self._clock.monotonic() - began
        found = answer if isinstance(answer, Fault) else self._samples(answer, at, took)
        if isinstance(found, Fault):
            down = Sample("up", NO_LABELS, 0.0, at)
            return Reading(self.name, self.namespace, at, (down,), fault=found, took=took)
        return Reading(self.name, self.namespace, at, found, took=took)

    async def close(self) -> None:
        """Nothing of its own to let go of."""

    def _samples(self, answer: HttpAnswer, at: Millis, took: Millis) -> tuple[Sample, ...] | Fault:
        try:
            fields = read_fields(answer.body)
        except UnreadableError as error:
            if not 200 <= answer.status < 300:  # noqa: PLR2004  then the status tells more than the body
                return self._endpoint.refused(answer)
            return self._endpoint.fault(FaultKind.MALFORMED, str(error))
        own = {"up": 1.0, "status_code": float(answer.status), "response_time": took / 1000}
        if answer.tls_ends is not None:
            own["tls_expires_in"] = (answer.tls_ends - at) / 1000
        samples = [Sample(name, NO_LABELS, value, at) for name, value in own.items()]
        for (name, labels), value in fields.items():
            if labels or name not in OWN:
                samples.append(Sample(name, labels, value, at))
        return tuple(samples)
