"""Jobs that report by themselves: a dead man's switch. A job that does not report in time is overdue.

Its law: nothing is fetched. Each job that the settings name is expected from the moment they name it, so that one
that never reported is known as well. What a job said last, and when, is kept in the state before the job is told so:
a restart forgets no report. The numbers of a report count until the next one is overdue, and not longer: what an old
report said is no reading of now.
"""

from __future__ import annotations

import hmac
import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.exposition import PageReader
from alerting.model import NO_LABELS, Labels, Reading, Sample, Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from alerting.model import Millis, Need, Section, Value
    from alerting.ports import Tools

    Said = tuple[str, Labels, Value]  # a name, labels, a value

OWN = ("up", "seconds_since_push", "overdue", "failed")  # a report may not use these names
_VALUES = 100  # in one report
_NAME = 100  # characters of a name
_TEXT = 1_000  # characters of a text


def build(section: Section, tools: Tools) -> Sequence[Push]:
    """Build the source of one `type: push` entry."""
    return (Push(section, tools),)


class _Report(NamedTuple):
    """What is known of one job. `at` is monotonic: of its last report, or since when it is expected."""

    at: Millis
    failed: bool
    values: Sequence[Said]


class Push:
    """The reports of the jobs of one entry."""

    def __init__(self, section: Section, tools: Tools) -> None:
        self.name = self.namespace = section.name
        self.jobs: Mapping[str, Mapping[str, Millis]] = section.values["jobs"]
        self._token: str | Secret = section.values["token"]
        self._clock = tools.clock
        self._reports: dict[str, _Report] = {}

    async def fetch(self, needs: Sequence[Need], since: Millis | None) -> Reading:  # noqa: ARG002  it is all there
        """Say how each job stands."""
        at, now = self._clock.now(), self._clock.monotonic()
        samples = [Sample("up", NO_LABELS, 1.0, at)]
        for job, report in self._reports.items():
            labels, passed, pace = Labels({"job": job}), now - report.at, self.jobs[job]
            overdue = passed > pace["every"] + pace["grace"]
            samples.append(Sample("seconds_since_push", labels, passed / 1000, at))
            samples.append(Sample("overdue", labels, float(overdue), at))
            samples.append(Sample("failed", labels, float(report.failed), at))
            if not overdue:
                samples.extend(Sample(name, own.merged({"job": job}), value, at) for name, own, value in report.values)
        return Reading(self.name, self.namespace, at, tuple(samples))

    async def close(self) -> None:
        """Nothing is held open."""

    # ------------------------------------------------------------------------------------- reports

    def admits(self, token: str) -> bool:
        """Tell whether a token is the right one, in a time that does not tell how much of it is. Raises SecretError."""
        right = self._token.reveal() if isinstance(self._token, Secret) else self._token
        return hmac.compare_digest(token.encode("utf-8", "surrogateescape"), right.encode())

    def read(self, body: bytes, *, failed: bool) -> str:
        """Turn a report into the text that is to be kept. Raises ValueError that says what is wrong with it."""
        values = [(name, labels.pairs, value) for name, labels, value in read_values(body)]
        return json.dumps({"at": self._clock.now(), "failed": failed, "values": values})

    def take(self, kept: Mapping[str, str]) -> None:
        """Take in reports, job by job, as they were kept. One that cannot be read is passed over."""
        for job, text in kept.items():
            report = self._report(text)
            if report is not None and job in self.jobs:
                self._reports[job] = report

    def expect(self) -> Mapping[str, str]:
        """Begin to wait for the jobs of which nothing is known; give what is to be kept of them."""
        fresh = json.dumps({"at": self._clock.now(), "failed": False, "values": []})
        expected = {job: fresh for job in self.jobs if job not in self._reports}
        self.take(expected)
        return expected

    def _report(self, text: str) -> _Report | None:
        try:
            kept = json.loads(text)
            age = self._clock.now() - int(kept["at"])
            values = [
                (str(name), Labels(dict(pairs)), value if isinstance(value, str) else float(value))
                for name, pairs, value in kept["values"]
            ]
            return _Report(self._clock.monotonic() - max(0, age), bool(kept["failed"]), values)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            return None


def read_values(body: bytes) -> Iterable[Said]:
    """Read what a report says: a flat JSON object, a page in Prometheus' text format, or nothing. Raises ValueError."""
    if not body.strip():
        return ()
    if body.lstrip()[:1] not in b"{[":
        samples = PageReader(NO_LABELS, _VALUES).read(body, 0)
        return [(_name(name), labels, _value(name, value)) for name, labels, value, _ in samples]
    try:
        found = json.loads(body, object_pairs_hook=_distinct, parse_int=float)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise ValueError("the report is not JSON; send an object of numbers, or nothing") from None
    if not isinstance(found, dict):
        raise ValueError('the report is not a JSON object; send {"rows": 12}, or nothing')  # noqa: TRY004  the sender's
    if len(found) > _VALUES:
        raise ValueError(f"the report has more than {_VALUES} values")
    return [(_name(name), NO_LABELS, _value(name, value)) for name, value in found.items()]


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in the report")
    return found


def _name(name: str) -> str:
    plain = name.isascii() and all(part.isidentifier() for part in name.split("."))
    if not plain or len(name) > _NAME:
        raise ValueError(f"{name[:40]!r} is no name for a value: letters, digits, _ and dots, at most {_NAME}")
    if name in OWN:
        raise ValueError(f"{name} is given by alerting itself; choose another name")
    return name


def _value(name: str, value: Any) -> Value:
    if isinstance(value, str) and len(value) <= _TEXT:
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, (int, float)):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise ValueError(f"the value of {name} is neither a finite number nor a text of at most {_TEXT} characters")
