"""Prometheus' text format, and OpenMetrics where the page ends with `# EOF`: bytes in, samples out.

The content decides the format, not what it is called. A page is taken whole or not at all: every line must be one
that https://prometheus.io/docs/instrumenting/exposition_formats/ allows, but samples are made only of names that are
asked for. The reader works on the bytes line by line and remembers what each series' text means, so that the next
page of the same target costs a lookup and a float per line. A series that is new is most often written in a form that
is known: the same name and labels in the same order, other values. Then it costs a split.
"""

from __future__ import annotations

import hashlib
import re
from io import BytesIO
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from alerting.model import SHARED, FaultKind, Kind, Labels, Metric, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from alerting.model import Millis

_SPARE = 1000  # series beyond twice a page's own that are remembered before all are forgotten
_LONGEST = 65_536  # bytes of a line
_UNASKED = -1
_EOF = b"# EOF"
_BARE = re.compile(rb"\S")
_PLAIN = re.compile(  # `name` or `name{label="",…}`: a series as most pages write it, its values taken out
    r'([A-Za-z_:][A-Za-z0-9_:]*)(?:\{[A-Za-z_][A-Za-z0-9_]*=""(?:,[A-Za-z_][A-Za-z0-9_]*="")*,?\})?'
)
_PLAIN_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)=""')
_Stamped = tuple[float, "Millis | None"]


class UnreadableError(ValueError):
    """The page is not whole, or not in the format; says where and why."""

    def __init__(self, message: str, kind: FaultKind = FaultKind.MALFORMED) -> None:
        self.kind = kind
        super().__init__(message)


class _Form(NamedTuple):
    """How series of one name and the same labels are written; what is between the quotes differs."""

    name: str
    asked: bool
    labels: list[str]  # as they are written
    ordered: Callable[[list[tuple[str, str]]], tuple[tuple[str, str], ...]]  # sorts them and the target's by name


class PageReader:
    """Reads the pages of one target, whose labels every series gets; with `honor`, those of the page go before."""

    def __init__(self, target: Labels, limit: int, *, honor: bool = False) -> None:
        self.kinds: tuple[Metric, ...] = ()  # what the last page declared
        self._target = target
        self._own = list(target.pairs)
        self._honor = honor
        self._limit = limit
        self._digest = b""
        self._values: dict[int, float] = {}
        self._stamps: dict[int, Millis] = {}
        self._lines = 0  # of samples on the last page
        self._declared: list[bytes] = []
        self._names: frozenset[str] = frozenset()  # that are asked for; empty: all
        self._forget()

    def _forget(self) -> None:
        self._known: dict[bytes, int] = {}  # a series as a page writes it -> its place in _series, or _UNASKED
        self._places: dict[tuple[str, Labels], int] = {}
        self._series: list[tuple[str, Labels]] = []
        self._forms: dict[tuple[str, ...], _Form] = {}  # by what is outside of the quotes

    def read(self, body: bytes, at: Millis, names: frozenset[str] = frozenset()) -> list[Sample]:
        """Give the samples of `names` (empty: of all), or raise UnreadableError: no page is taken in part.

        Where there is no memory for a page, all that was learned of its target is let go of, so that there is some
        for whatever else is to be done.
        """
        try:
            return self._read(body, at, names)
        except MemoryError:
            self._forget()
            self._values, self._stamps, self._digest = {}, {}, b""
            text = "there is no memory left for a page of so many series; give the process more, or a `series_limit`"
            raise UnreadableError(text, FaultKind.TOO_LARGE) from None

    def _read(self, body: bytes, at: Millis, names: frozenset[str]) -> list[Sample]:
        digest = hashlib.blake2b(body, digest_size=16).digest()
        if names != self._names:
            self._names, self._digest = names, b""
            self._forget()
        if digest != self._digest:
            self._digest = b""
            if len(self._known) > 2 * self._lines + _SPARE:
                self._forget()
            self._parse(body)
            self._digest = digest
        series, values, new = self._series, self._values.items(), tuple.__new__  # twice as fast as Sample(…)
        if not self._stamps:
            return [new(Sample, (*series[place], value, at)) for place, value in values]
        stamps = self._stamps  # one that is ahead of our clock counts as now
        return [new(Sample, (*series[place], value, min(stamps.get(place, at), at))) for place, value in values]

    def _parse(self, body: bytes) -> None:
        first = _BARE.search(body)
        if first is None:
            raise UnreadableError("the page is empty")
        if first[0] == b"<":
            raise UnreadableError("this is a web page (HTML), not metrics; set `url` to the metrics page")
        _check_lines(body)
        self._values, self._stamps = {}, {}
        self._seconds = is_openmetrics(body)  # then stamps are seconds, not milliseconds
        declared: list[bytes] = []
        known, values, limit = self._known, self._values, self._limit
        number = others = 0  # lines, and those of them that hold no sample
        ended = False
        for line in BytesIO(body):
            number += 1
            text, _, value = line.rpartition(b" ")
            place = known.get(text)
            if place is None and not ended and line[:1] != b"#":
                place = self._learned(text)
                if place is not None and number - others > limit:
                    self._room(number - others)
            if place is not None and place not in values and b"_" not in value:
                try:
                    figure = float(value)
                except ValueError:
                    pass  # said properly below
                else:
                    if place != _UNASKED:
                        values[place] = figure
                    continue
            bare = line.strip()
            if ended and bare:
                raise UnreadableError(f"line {number}: something follows `# EOF`")
            if bare and not bare.startswith(b"#"):
                self._room(number - others)
                self._sample(bare, number)
                continue
            others += 1
            if bare.startswith((b"# TYPE ", b"# UNIT ")):
                declared.append(bare)
            elif bare == b"# EOF":
                ended, known = True, {}  # what follows is looked at, known or not
        self._lines = number - others
        self._room(self._lines)
        if declared != self._declared:
            self.kinds = tuple(_kinds(declared))
            self._declared = declared

    def _room(self, lines: int) -> None:
        if lines > self._limit:
            text = f"the page has more than {self._limit} series (`series_limit`)"
            raise UnreadableError(text, FaultKind.TOO_LARGE)

    def _sample(self, line: bytes, number: int) -> None:
        """Take a line that is more than a known series and a value: new, stamped, repeated, or wrong."""
        try:
            place, value, stamp = self._stamped(line) or self._careful(line)
        except UnicodeDecodeError:
            raise UnreadableError(f"line {number} is not UTF-8") from None
        except UnreadableError as error:
            hint = "; it looks like JSON: use `type: health`" if line.startswith((b'{"', b"[")) else ""
            raise UnreadableError(f"line {number}: {error}{hint}") from None
        if place == _UNASKED:
            return
        if place in self._values and not self._newer(place, value, stamp):
            name, labels = self._series[place]
            raise UnreadableError(f"line {number}: {name}{labels} stands twice with different values")
        self._values[place] = value
        if stamp is not None:
            self._stamps[place] = stamp

    def _learned(self, text: bytes) -> int | None:
        """Learn a series that is written as most are, without escapes; None: it must be read with care."""
        if b"\\" in text or b'""' in text:  # a label that is empty is none
            return None
        try:
            parts = text.decode().split('"')
        except UnicodeDecodeError:
            return None
        outside = tuple(parts[::2])
        form = self._forms.get(outside) or self._form(outside)
        if form is None or not len(parts) % 2:
            return None
        place = _UNASKED
        if form.asked:
            pairs = [*zip(form.labels, parts[1::2], strict=True), *self._own]
            place = self._place(form.name, Labels.from_sorted(form.ordered(pairs)))
        self._known[text] = place
        return place

    def _form(self, outside: tuple[str, ...]) -> _Form | None:
        """Learn a form; None: it is none, or has a label twice, or one that the target has too."""
        written = '""'.join(outside)
        match = _PLAIN.fullmatch(written)
        if match is None:
            return None
        labels = _PLAIN_LABEL.findall(written)
        names = [*labels, *(label for label, _ in self._target)]
        if len(set(names)) != len(names) or "__name__" in names:
            return None
        places = sorted(range(len(names)), key=names.__getitem__)
        asked = not self._names or match[1] in self._names
        form = _Form(match[1], asked, labels, itemgetter(*places) if len(places) > 1 else tuple)
        self._forms[outside] = form
        return form

    def _stamped(self, line: bytes) -> tuple[int, float, Millis] | None:
        """Read a known series with a stamp; None where the line is anything else."""
        words = line.rsplit(None, 2)
        place = self._known.get(words[0]) if len(words) == 3 else None  # noqa: PLR2004  series, value, stamp
        if place is None:
            return None
        try:
            return place, _number(words[1].decode()), _stamp(words[2].decode(), seconds=self._seconds)
        except UnreadableError:  # or `name {label="value"} 1`
            return None

    def _careful(self, line: bytes) -> tuple[int, float, Millis | None]:
        text = line.decode()
        name, pairs, end = _series(text)
        value, stamp = _value(text[end:], seconds=self._seconds)
        place = _UNASKED
        if not self._names or name in self._names:
            place = self._place(name, _on_target(pairs, self._target, honor=self._honor))
        self._known[text[:end].encode()] = place
        return place, value, stamp

    def _place(self, name: str, labels: Labels) -> int:
        """Give the place of a series, which two ways of writing it share."""
        place = self._places.setdefault((name, labels), len(self._series))
        if place == len(self._series):
            self._series.append((name, labels))
        return place

    def _newer(self, place: int, value: float, stamp: Millis | None) -> bool:
        """Tell whether a repeated series may take the place of the earlier one: the same, or with a later stamp."""
        earlier = self._stamps.get(place)
        if stamp is not None and earlier is not None and stamp != earlier:
            return stamp > earlier
        return repr(value) == repr(self._values[place])


# ------------------------------------------------------------------------------------------- one line

_NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_PAIR = re.compile(rf"[ \t]*(?:([A-Za-z_][A-Za-z0-9_]*)|{_QUOTED})[ \t]*(?:=[ \t]*{_QUOTED}[ \t]*)?([,}}])")
_CLOSE = re.compile(r"[ \t]*}")
_ESCAPE = re.compile(r"\\(.)")
_STAMP = re.compile(r"[-+]?[0-9]+")
_STAMP_SECONDS = re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?")
_Pairs = list[tuple[str, str]]


def _series(text: str) -> tuple[str, _Pairs, int]:
    """Read `name{label="value",…}` or `{"name",…}`; give name, labels and where it ends."""
    match = _NAME.match(text)
    name, end = (match[0], match.end()) if match else ("", 0)
    brace = end
    while text[brace : brace + 1] in (" ", "\t"):
        brace += 1
    pairs: _Pairs = []
    if text[brace : brace + 1] == "{":
        end = brace + 1
        while not (close := _CLOSE.match(text, end)):
            pair = _PAIR.match(text, end)
            if pair is None:
                raise UnreadableError(f"the labels cannot be read from {text[end : end + 30]!r} on")
            label, quoted, value, after = pair.groups()
            if value is not None:
                pairs.append((label or _unescaped(quoted), _unescaped(value)))
            elif quoted and not name and not pairs:
                name = _unescaped(quoted)
            else:
                raise UnreadableError(f"the label {label or quoted!r} has no value")
            end = pair.end() - (after == "}")
        end = close.end()
    if not name:
        raise UnreadableError(f"no metric name in {text[:30]!r}")
    names = {label for label, _ in pairs}
    if len(names) != len(pairs) or "" in names or "__name__" in names:
        raise UnreadableError(f"{name} has a label twice, or one that may not be")
    if end < len(text) and text[end] not in " \t" and text[end - 1] != "}":
        raise UnreadableError(f"no metric name in {text[:30]!r}")
    return name, pairs, end


def _unescaped(text: str) -> str:
    r"""Undo `\\`, `\"` and `\n`; another backslash stands for itself, as in Prometheus."""
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda match: {"n": "\n", "\\": "\\", '"': '"'}.get(match[1], match[0]), text)


def _value(text: str, *, seconds: bool) -> _Stamped:
    """Read what follows a series: a value, perhaps a stamp, in OpenMetrics perhaps an exemplar (passed over)."""
    if seconds:
        text = text.partition(" # {")[0]
    words = text.split()
    if not 1 <= len(words) <= 2:  # noqa: PLR2004  value and stamp
        raise UnreadableError("a value is missing" if not words else f"too much after the value: {text.strip()[:30]!r}")
    return _number(words[0]), _stamp(words[1], seconds=seconds) if words[1:] else None


def _check_lines(body: bytes) -> None:
    """Refuse a line that is too long, before anything is made of it: one might be all of the page, a second time."""
    at = 0
    while len(body) - at > _LONGEST:
        at, before = body.rfind(b"\n", at, at + _LONGEST) + 1, at
        if not at:
            number = body.count(b"\n", 0, before) + 1
            raise UnreadableError(f"line {number} is longer than {_LONGEST} bytes", FaultKind.TOO_LARGE)


def is_openmetrics(body: bytes) -> bool:
    """Tell whether a page ends with `# EOF`, and space at the most behind it; without a copy of the page."""
    end = body[-_LONGEST:].rstrip()
    return (end if len(end) >= len(_EOF) else body.rstrip()).endswith(_EOF)


def _number(text: str) -> float:
    """Read a value as Prometheus does: any float, NaN, +Inf, -Inf; no underscores, no hexadecimals."""
    try:
        return float(text if "_" not in text and text.isascii() else "")
    except ValueError:
        raise UnreadableError(f"{text[:30]!r} is not a number") from None


def _stamp(text: str, *, seconds: bool) -> Millis:
    """Read a time stamp; one before 1970 counts as 1970."""
    if len(text) > 20 or not (_STAMP_SECONDS if seconds else _STAMP).fullmatch(text):  # noqa: PLR2004  longer is no time
        raise UnreadableError(f"{text[:30]!r} is not a time stamp")
    try:
        return max(0, round(float(text) * 1000) if seconds else int(text))
    except OverflowError:
        raise UnreadableError(f"{text!r} is not a time stamp") from None


def _on_target(pairs: _Pairs, target: Labels, *, honor: bool) -> Labels:
    """Add the target's labels; a page's own `job` or `instance` is kept as `exported_job`, as in Prometheus.

    With `honor` (its `honor_labels`) the page's own stay, and one that the page gives empty is left out.
    """
    named = dict(pairs)
    if honor:
        return Labels({**target.as_dict(), **named})
    for label, value in target:
        if own := named.get(label):
            moved = f"exported_{label}"
            while moved in named:
                moved = f"exported_{moved}"
            named[moved] = own
        named[label] = value
    return Labels(named)


# ------------------------------------------------------------------------------------------- what a page declares

_UNITS = {"seconds": "s", "milliseconds": "ms", "bytes": "bytes", "ratio": "ratio", "percent": "percent"}


def _kinds(lines: Iterable[bytes]) -> Iterable[Metric]:
    """Give the metrics that TYPE and UNIT lines declare, by the names that their samples have."""
    types: dict[str, str] = {}
    units: dict[str, str] = {}
    for line in lines:
        words = line.decode("utf-8", "replace").split()
        if len(words) == 4:  # noqa: PLR2004  `#`, the keyword, the family, what is said of it
            family = _unescaped(words[2][1:-1]) if words[2][:1] == '"' else words[2]
            (types if words[1] == "TYPE" else units)[family] = words[3]
    for family, kind in types.items():
        unit = _UNITS.get(units.get(family, ""), "")
        yield from _family(family, kind, unit)


def _family(family: str, kind: str, unit: str) -> Iterable[Metric]:
    if kind == "counter":
        total = family if family.endswith("_total") else f"{family}_total"  # OpenMetrics names the family without it
        yield Metric(total, SHARED, Kind.COUNTER, unit)
        if total != family:
            yield Metric(family, SHARED, Kind.COUNTER, unit)
    elif kind in ("histogram", "summary"):
        if kind == "histogram":
            yield Metric(f"{family}_bucket", SHARED, Kind.HISTOGRAM)
        else:
            yield Metric(family, SHARED, Kind.GAUGE, unit)
        yield Metric(f"{family}_sum", SHARED, Kind.COUNTER, unit)
        yield Metric(f"{family}_count", SHARED, Kind.COUNTER)
    elif kind == "gauge":
        yield Metric(family, SHARED, Kind.GAUGE, unit)
    elif kind == "info":
        yield Metric(f"{family}_info", SHARED, Kind.GAUGE)
