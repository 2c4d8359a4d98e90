"""A health endpoint: every field of its JSON answer is a metric, and the probe adds its own.

The HTTP status decides nothing where a JSON object came: apps answer 200 with the database down, and 503 with
the very fields that say why. What is not one whole, unambiguous JSON object is a fault, never a guess: of two
equal keys nobody knows which is meant, and NaN or 1e999 is no measurement. What becomes of each kind of value
stands at `alerting.fields.read_fields`.

Where the settings say which statuses they expect, another one makes `up` 0 beside all that was read: it is a value
and no fault. With `reads: status` the body does not count, and neither does where a redirect leads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.errors import SecretError
from alerting.fields import UnreadableError, read_fields
from alerting.model import NO_LABELS, Fault, FaultKind, Labels, Reading, Sample
from alerting.net.endpoint import Endpoint, distinct, targets_of
from alerting.net.http import LIMIT, revealed, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerting.fields import Fields
    from alerting.model import Millis, Need, Secret, Section
    from alerting.ports import HttpAnswer, Tools

_LIMIT = 1024 * 1024  # bytes of a body that is read; at worst nine times as much memory: these bytes, their text at
# four bytes a character, and one value that is nearly all of it
OWN = ("up", "status_code", "response_time", "tls_expires_in")  # hide a field of the same name at the top


def build(section: Section, tools: Tools) -> Sequence[Health]:
    """Build one source for each address of a `type: health` entry."""
    if "targets" not in section.values:
        return (Health(section, tools, section.values["url"], NO_LABELS),)
    found = targets_of(section.values)
    names = distinct([name or shown(url) for name, url in found])
    return [Health(section, tools, url, Labels({"target": name})) for name, (_, url) in zip(names, found, strict=True)]


class Health:
    """Reads one health endpoint."""

    def __init__(self, section: Section, tools: Tools, url: str | Secret, labels: Labels) -> None:
        values = section.values
        self.name = self.namespace = section.name
        self._clock = tools.clock
        self.target = labels.get("target")
        self._labels = labels
        self._method = values.get("method", "GET")
        self._body = values.get("body")
        self._status_only = values.get("reads") == "status"
        self._expected = frozenset(map(str, values.get("expect_status", ("2xx",) if self._status_only else ())))
        self._endpoint = Endpoint.of(
            section, tools, url, limit=LIMIT if self._status_only else _LIMIT, redirects=self._status_only
        )

    async def fetch(self, needs: Sequence[Need], since: Millis | None) -> Reading:  # noqa: ARG002  one page holds all
        """Read all fields at once; there is nothing to choose from."""
        at, began = self._clock.now(), self._clock.monotonic()
        answer = await self._ask()
        took = self._clock.monotonic() - began
        found = answer if isinstance(answer, Fault) else self._samples(answer, at, took)
        if isinstance(found, Fault):
            down = Sample("up", self._labels, 0.0, at)
            return Reading(self.name, self.namespace, at, (down,), self._labels, found, took)
        return Reading(self.name, self.namespace, at, found, self._labels, None, took)

    @property
    def host(self) -> str:
        """Tell which host is asked."""
        return self._endpoint.host

    async def close(self) -> None:
        """Nothing of its own to let go of."""

    async def _ask(self) -> HttpAnswer | Fault:
        body = None
        if self._body is not None:
            try:
                body = revealed(self._body).encode()
            except SecretError as error:
                return Fault(FaultKind.SECRET, f"{self.name}: {error}")
        return await self._endpoint.ask(self._method, body=body)

    def _samples(self, answer: HttpAnswer, at: Millis, took: Millis) -> tuple[Sample, ...] | Fault:
        fields: Fields = {}
        try:
            fields = {} if self._status_only else read_fields(answer.body)
        except UnreadableError as error:
            if not 200 <= answer.status < 300:  # noqa: PLR2004  then the status tells more than the body
                return self._endpoint.refused(answer)
            return self._endpoint.fault(FaultKind.MALFORMED, str(error))
        own = {"up": float(self._is_expected(answer.status)), "status_code": float(answer.status)}
        own["response_time"] = took / 1000
        if answer.tls_ends is not None:
            own["tls_expires_in"] = (answer.tls_ends - at) / 1000
        target = self._labels
        samples = [Sample(name, target, value, at) for name, value in own.items()]
        for (name, labels), value in fields.items():
            if labels or name not in OWN:
                samples.append(Sample(name, labels.merged(target.as_dict()) if labels else target, value, at))
        return tuple(samples)

    def _is_expected(self, status: int) -> bool:
        """Tell whether a status is one of those expected, by itself or by its class; without any, all are."""
        return not self._expected or bool(self._expected & {str(status), f"{status // 100}xx"})
