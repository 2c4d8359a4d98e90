"""Test files, read: YAML in Prometheus' unit-test format to records that know where they were written.

Its law: a file is read whole before anything runs, and everything that is wrong with it is said at once, each
with file, line and column. What reads well here can be run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from alerting.casework.people import KEYS, look_at_times, read_people
from alerting.casework.reader import Reader, without_lines
from alerting.config import documents, placed, schema
from alerting.config.durations import millis
from alerting.config.files import TEST_SUFFIXES, read_bytes
from alerting.core.lang.syntax.series import parse_series, parse_values
from alerting.errors import ConfigError
from alerting.model import NO_LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from alerting.casework.people import People
    from alerting.core.lang.syntax.series import Step
    from alerting.model import Labels, Millis, Origin

MINUTE = 60_000
MOST_EVALUATIONS = 1_000_000  # of one test: two years by the minute
_RULE_KEYS = frozenset(("alert", "rules", "groups"))
_NUMBERS = re.compile(r"[+-]?(?:\.?inf|\.?nan|infinity)", re.IGNORECASE)


class InputSeries(NamedTuple):
    """One series and its values: (step, value), steps of the test's interval."""

    path: tuple[str, ...]  # the parts of its name, more than one for a field of a source
    labels: Labels
    steps: Sequence[Step]
    origin: Origin


class ExpectedAlert(NamedTuple):
    """One alert that must fire."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    reason: str = ""  # a part of it; empty: any


class AlertCheck(NamedTuple):
    """Which alerts of one name must fire at a time; times count from the test's start."""

    at: Millis
    alertname: str
    expected: tuple[ExpectedAlert, ...]
    unknown: str  # a part of the reason why the rule cannot be judged; empty: not asked
    origin: Origin


class ExpectedSample(NamedTuple):
    """One series that an expression must give. The name stands among the labels."""

    labels: Labels
    value: float | str


class ExpressionCheck(NamedTuple):
    """What an expression must give at a time."""

    at: Millis
    expression: str
    expected: tuple[ExpectedSample, ...]
    origin: Origin


class Outage(NamedTuple):
    """A time in which a source (or pages with these labels) cannot be read; `end` None: to the last."""

    source: str
    labels: Labels
    start: Millis
    end: Millis | None
    why: str


@dataclass(frozen=True, slots=True)
class Case:
    """One test: series over time, and what must come of them. Times are ms since 1970, durations ms."""

    name: str
    interval: Millis
    start: Millis
    series: tuple[InputSeries, ...]
    alerts: tuple[AlertCheck, ...]
    expressions: tuple[ExpressionCheck, ...]
    outages: tuple[Outage, ...] | None  # None: PromQL throughout
    external_labels: Mapping[str, str]
    external_url: str
    people: People | None  # None: it is about rules alone
    origin: Origin

    @property
    def length(self) -> Millis:
        """How long the rules are evaluated: to the last check of any kind."""
        times = [check.at for check in self.alerts] + [check.at for check in self.expressions]
        return max(times + [check.at for check in self.people.hearings] if self.people else times, default=0)


@dataclass(frozen=True, slots=True)
class CaseFile:
    """One test file. `source` gives its lines to messages."""

    name: str
    folder: Path
    rule_files: tuple[tuple[str, Origin], ...]
    interval: Millis
    group_order: tuple[str, ...]
    cases: tuple[Case, ...]
    source: placed.File
    settings: placed.Map | str | None = None  # written out, or the name of a file relative to this one
    settings_at: placed.At = 0


def read_cases(path: Path, name: str) -> CaseFile:
    """Read a test file. Raises ConfigError with all that is wrong with it."""
    file = documents.parse(read_bytes(path, name), name)
    if file.problems:
        raise ConfigError(without_lines(file))
    reader = _Reader(file)
    if len(file.documents) > 1:
        reader.wrong("a test file is one document", file.documents[1].at)
    value = file.documents[0].value
    if isinstance(value, dict) and "tests" not in value and _RULE_KEYS & set(value):
        reader.wrong("holds rules, not tests", file.documents[0].at, hint="`alerting validate` checks rules")
        raise ConfigError(reader.problems)
    if not schema.fits("tests")(value):
        from alerting.config.complaints import complaints  # noqa: PLC0415  jsonschema is for files that do not fit

        for each in complaints(value, "tests"):
            at = placed.locate(file.documents[0], each.path, at_key=each.at_key)
            reader.wrong(each.message, at, hint=each.hint)
        raise ConfigError(reader.problems)
    made = reader.file_of(value, path.parent)
    if reader.problems:
        raise ConfigError(sorted(reader.problems, key=lambda each: (each.line, each.column)))
    return made


class _Reader(Reader):
    """One file on its way to records."""

    def __init__(self, file: placed.File) -> None:
        super().__init__(file)
        self.has_rules = self.has_settings = False

    def file_of(self, value: placed.Map, folder: Path) -> CaseFile:
        interval = self.duration(value, "evaluation_interval", MINUTE)
        order = tuple(value.get("group_eval_order") or ())
        if len(set(order)) < len(order):
            self.wrong("a group is named twice", value.value_at("group_eval_order"))
        names = value.get("rule_files") or placed.Seq()
        rule_files = []
        self.has_rules, self.has_settings = bool(names), "settings" in value
        for index, name in enumerate(names):
            if name.endswith(TEST_SUFFIXES):
                self.wrong("this names tests, not rules", names.marks[index])
            rule_files.append((name, self.origin(names.marks[index])))
        tests = value["tests"]
        cases = [self.case(each, tests.marks[index], index, interval) for index, each in enumerate(tests)]
        at = value.value_at("settings") if "settings" in value else placed.position(0, 0)
        settings = value.get("settings")
        return CaseFile(
            self.file.name, folder, tuple(rule_files), interval, order, tuple(cases), self.file, settings, at
        )

    def case(self, value: placed.Map, at: placed.At, index: int, evaluation_interval: Millis) -> Case:
        outages = value.get("faults")
        people = read_people(self, value)
        case = Case(
            name=value.get("name") or f"test {index + 1}",
            interval=self.duration(value, "interval", evaluation_interval),
            start=self.start(value),
            series=tuple(self.series(each) for each in value.get("input_series") or ()),
            alerts=tuple(self.alert_check(each, value) for each in value.get("alert_rule_test") or ()),
            expressions=tuple(self.expression_check(each) for each in value.get("promql_expr_test") or ()),
            outages=None if outages is None else tuple(self.outage(each) for each in outages),
            external_labels=self.texts(value, "external_labels"),
            external_url=value.get("external_url", ""),
            people=people,
            origin=self.origin(at),
        )
        if people is not None and not self.has_settings:
            key = next(key for key in KEYS if key in value)
            hint = "name a settings file, or write its keys: `settings: {receivers: …}`"
            self.wrong(f"`{key}` needs `settings` beside `tests`", value.key_at(key), hint=hint, width=len(key))
        look_at_times(self, value, case.length)
        if self.has_rules and case.length // evaluation_interval > MOST_EVALUATIONS:
            self.wrong(f"more than {MOST_EVALUATIONS:,} evaluations", at, hint="test a shorter time")
        if case.outages is not None and case.length // case.interval > MOST_EVALUATIONS:
            self.wrong(f"more than {MOST_EVALUATIONS:,} readings", at, hint="test a shorter time")
        seen: dict[tuple[tuple[str, ...], Labels], InputSeries] = {}
        for each, written in zip(case.series, value.get("input_series") or (), strict=True):
            if seen.setdefault((each.path, each.labels), each) is not each:
                self.wrong("this series stands here twice", written.value_at("series"))
        return case

    def start(self, value: placed.Map) -> Millis:
        written = value.get("start_timestamp", 0)
        try:
            if isinstance(written, str) and not written.replace(".", "", 1).isdigit():
                moment = datetime.fromisoformat(written)
                return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
            return round(float(written) * 1000)
        except (ValueError, OverflowError):
            hint = "write seconds since 1970 or a date such as 2026-01-01T00:00:00Z"
            self.wrong(f"{str(written)[:40]!r} is no time", value.value_at("start_timestamp"), hint=hint)
            return 0

    def series(self, value: placed.Map) -> InputSeries:
        name, labels = self.parsed(value, "series", parse_series, ("unread", NO_LABELS))
        if not name:
            self.wrong("a series needs a name", value.value_at("series"))
        steps = self.parsed(value, "values", parse_values, [])
        path = (name,) if value["series"].lstrip().startswith("{") else tuple(name.split("."))
        return InputSeries(path, labels, steps, self.origin(value.at))

    def alert_check(self, value: placed.Map, case: placed.Map) -> AlertCheck:
        unknown = value.get("exp_unknown", "")
        if unknown and "faults" not in case:
            self.wrong("nothing is unknown in a test without `faults`", value.key_at("exp_unknown"))
        expected = tuple(
            ExpectedAlert(
                self.texts(each, "exp_labels"), self.texts(each, "exp_annotations"), each.get("exp_reason", "")
            )
            for each in value.get("exp_alerts") or ()
        )
        return AlertCheck(millis(value["eval_time"]), value["alertname"], expected, unknown, self.origin(value.at))

    def expression_check(self, value: placed.Map) -> ExpressionCheck:
        expected = tuple(self.sample(each) for each in value.get("exp_samples") or ())
        return ExpressionCheck(millis(value["eval_time"]), self.text(value, "expr"), expected, self.origin(value.at))

    def sample(self, value: placed.Map) -> ExpectedSample:
        labels = NO_LABELS
        if value.get("labels", "").strip():
            name, labels = self.parsed(value, "labels", parse_series, ("", NO_LABELS))
            labels = labels.with_(__name__=name) if name else labels
        if "value" not in value:
            self.wrong("key 'value' is missing", value.at)
        written = value.get("value", 0)
        if isinstance(written, str) and _NUMBERS.fullmatch(written):
            written = float(written.replace(".", ""))
        return ExpectedSample(labels, written if isinstance(written, str) else float(written))

    def outage(self, value: placed.Map) -> Outage:
        labels = NO_LABELS
        if "series" in value:
            name, labels = self.parsed(value, "series", parse_series, ("", NO_LABELS))
            if name:
                self.wrong("only labels stand here: a page fails as a whole", value.value_at("series"))
        start = millis(value.get("from", 0))
        end = millis(value["to"]) if "to" in value else None
        if end is not None and end <= start:
            self.wrong("`to` must be later than `from`", value.value_at("to"))
        return Outage(value.get("source", ""), labels, start, end, value.get("why", "made to fail by the test"))
