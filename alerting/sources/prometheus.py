"""A metrics page: Prometheus' text format, or OpenMetrics where the page ends with `# EOF`.

The content decides the format, not the content type: real pages are served as text/html. What a page means is read
by `alerting.exposition`; here is how it comes, whose it is, and when it may be cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from alerting.errors import SecretError
from alerting.exposition import PageReader, UnreadableError, is_openmetrics
from alerting.model import SHARED, Fault, Labels, Reading, Sample, Secret
from alerting.net.endpoint import Endpoint, distinct, targets_of
from alerting.net.http import revealed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alerting.model import Millis, Need, Section
    from alerting.ports import HttpAnswer, Tools

_ACCEPT = "text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0;q=0.5, */*;q=0.1"


def build(section: Section, tools: Tools) -> Sequence[Prometheus]:
    """Build one source for each page of a `type: prometheus` entry."""
    values = section.values
    job = _known(values.get("job"), section.name)
    pages = [_page(name, target) for name, target in targets_of(values)]
    instance = values.get("instance")
    named = distinct([name or _known(instance, _instance(url, section.name)) for name, url, _ in pages])
    shared = values.get("labels") or {}
    made = []
    for name, (_, url, own) in zip(named, pages, strict=True):
        labels = {label: _known(value, "") for label, value in {**shared, **own}.items()}
        made.append(Prometheus(section, tools, url, Labels({**labels, "job": job, "instance": name})))
    return made


class Prometheus:
    """Reads one metrics page; all pages share a namespace, `job` and `instance` tell them apart."""

    namespace = SHARED

    def __init__(self, section: Section, tools: Tools, url: str | Secret, labels: Labels) -> None:
        values = section.values
        self.name = section.name
        self._clock = tools.clock
        self._endpoint = Endpoint.of(section, tools, url, headers={"accept": _ACCEPT})
        self.target = labels.get("instance") if "targets" in values else ""
        self._labels = labels
        self._reader = PageReader(labels, values["series_limit"], honor=values.get("honor_labels", False))

    async def fetch(self, needs: Sequence[Need], since: Millis | None) -> Reading:  # noqa: ARG002  nothing comes in buckets
        """Read the page; give what `needs` name: everything for a need without a name, or for no needs at all."""
        at, began = self._clock.now(), self._clock.monotonic()
        answer = await self._endpoint.get()
        took = self._clock.monotonic() - began
        names = frozenset(need.name for need in needs)
        found = answer if isinstance(answer, Fault) else self._samples(answer, at, names if all(names) else frozenset())
        if isinstance(found, Fault):
            down = Sample("up", self._labels, 0.0, at)
            return Reading(self.name, SHARED, at, (down,), self._labels, found, took)
        samples = (Sample("up", self._labels, 1.0, at), *found)
        return Reading(self.name, SHARED, at, samples, self._labels, None, took, self._reader.kinds)

    @property
    def host(self) -> str:
        """Tell which host is asked."""
        return self._endpoint.host

    async def close(self) -> None:
        """Nothing of its own to let go of."""

    def _samples(self, answer: HttpAnswer, at: Millis, names: frozenset[str]) -> list[Sample] | Fault:
        if not 200 <= answer.status < 300:  # noqa: PLR2004  what comes with other statuses is no page
            return self._endpoint.refused(answer)
        try:
            _check_whole(answer)
            return self._reader.read(answer.body, at, names)
        except UnreadableError as error:
            return self._endpoint.fault(error.kind, str(error))


def _page(name: str, target: Any) -> tuple[str, str | Secret, Mapping[str, str]]:
    """Read one of `targets`: an address, or a mapping of `url` and `labels`; give instance, address and labels."""
    if isinstance(target, dict):
        return name, target["url"], target.get("labels") or {}
    return name, target, {}


def _known(text: str | Secret | None, otherwise: str) -> str:
    """Give a text of the settings; one that cannot be had now is not worth losing the page."""
    try:
        return revealed(text or otherwise)
    except SecretError:
        return otherwise


def _instance(url: str | Secret, otherwise: str) -> str:
    """Give `host:port` of an address, with the scheme's own port where none is written, as Prometheus does."""
    try:
        parts = urlsplit(revealed(url))
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except (SecretError, ValueError):  # each fetch will say what is wrong with it
        return otherwise
    host = parts.hostname or ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check_whole(answer: HttpAnswer) -> None:
    """Refuse what may be half a page: HTTP notices a cut only where the length was declared.

    A last line without newline is usual with small apps. Where only the end of the connection ends the page,
    `errors_total 12` may be the first half of `errors_total 1234`.
    """
    headers, body = answer.headers, answer.body
    declared = "content-length" in headers or "transfer-encoding" in headers or "content-encoding" in headers
    if body and not body.endswith(b"\n") and not declared:
        raise UnreadableError("the page may be cut: it declares no length and its last line has no end")
    if "openmetrics" in headers.get("content-type", "") and not is_openmetrics(body):
        raise UnreadableError("the page is cut: OpenMetrics ends with `# EOF`")
