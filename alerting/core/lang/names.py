"""The vocabulary: which source a name in a condition means.

The rules, in this order:

1. `source.name` means that source, whatever else is called so. All metrics pages together are one namespace.
2. A bare `up` is that of the metrics pages; every source has its own, `source.up`.
3. A bare name that exactly one source with a closed vocabulary offers (Sentry, the host) means that source; that
   goes before the metrics pages, with a notice where they are known to have the name too. Two that offer it: error.
4. `ALERTS`: the alerts of all rules, as Prometheus has them. A bare name that rules record, or that a metrics page is
   known to have.
5. `NAME_p95` where there are metrics pages: the 0.95 quantile of a histogram of theirs; see `Found.quantile`. Not
   in Prometheus' own files, where it is the name of a series.
6. Any other bare name is taken to be on the metrics pages, where there are any. What they hold shows when they
   are read; a name that no reading has ever held makes the condition unknown, never false.

A name that no rule admits is an error that says what was asked, what it offers, and what may have been meant.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from alerting.core.lang.suggest import closest, did_you_mean, distance
from alerting.core.lang.units import unit_of_name
from alerting.errors import Diagnostic
from alerting.model import ALERTS, SHARED, Kind, Metric

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from alerting.core.lang.tree import Selector

_LISTED = 8  # names of one source that an error lists
UP = "up"
_NOTHING: Mapping[str, str] = MappingProxyType({})


class SourceNames(NamedTuple):
    """What one source of the settings offers."""

    source: str  # its name in the settings
    namespace: str  # SHARED for metrics pages, else the same name
    kind: str  # sentry, health …
    closed: bool  # True: `metrics` is all there is; False: more may appear
    metrics: tuple[Metric, ...]
    units: Mapping[str, str] = _NOTHING  # `units:` of the settings, by name
    own: frozenset[str] = frozenset()  # of `metrics`, those that the settings define: only answers tell their labels


class Found(NamedTuple):
    """What a name means.

    With `quantile`, the condition means that quantile of `metric`: the buckets of a histogram, or a level.
    Without a metric the diagnostics hold the error.
    """

    metric: Metric | None
    quantile: float | None = None
    diagnostics: tuple[Diagnostic, ...] = ()


class _Note(NamedTuple):
    """A diagnostic before its place is known."""

    message: str
    hint: str = ""
    warning: bool = False


class _Meaning(NamedTuple):
    """A Found before its place is known; the same for every selector with that path."""

    metric: Metric | None
    quantile: float | None = None
    notes: tuple[_Note, ...] = ()


class Names:
    """The names that conditions may use, from the sources in the settings and the rules that record."""

    def __init__(self, sources: Sequence[SourceNames], recorded: Collection[str] = (), *, open_: bool = False) -> None:
        self.open = open_  # True: nothing is an error for being unknown
        self._sources = {each.source: each for each in sources}
        self._pages = [each for each in sources if each.namespace == SHARED]
        self._recorded = frozenset(recorded)
        self._closed: dict[str, list[tuple[str, Metric]]] = {}
        for source in sources:
            if source.closed:
                for metric in source.metrics:
                    self._closed.setdefault(metric.name, []).append((source.source, metric))
        self._on_pages = {metric.name: metric for page in self._pages for metric in page.metrics}
        self._page_units = {name: unit for page in self._pages for name, unit in page.units.items()}
        self._meanings: dict[tuple[bool, tuple[str, ...]], _Meaning] = {}

    @classmethod
    def anything(cls, sources: Sequence[SourceNames] = (), recorded: Collection[str] = ()) -> Names:
        """Take every name: for files that are checked by themselves and for tests. `sources` are known besides."""
        return cls(sources, recorded, open_=True)

    def resolve(self, selector: Selector, *, promql: bool = False) -> Found:
        """Say what the selector's name means; warnings ride along. In PromQL there are no quantile names."""
        key = promql, selector.path
        meaning = self._meanings.get(key)
        if meaning is None:
            meaning = self._meanings[key] = self._meaning(selector.path, promql=promql)
        if not meaning.notes:
            return Found(meaning.metric, meaning.quantile)
        notes = tuple(Diagnostic(note.message, selector.span, note.hint, note.warning) for note in meaning.notes)
        return Found(meaning.metric, meaning.quantile, notes)

    def labels(self, metric: Metric) -> tuple[frozenset[str], frozenset[str] | None]:
        """Give the labels that every series of the metric has, and all that it may have (None: not known)."""
        source = self._sources.get(metric.namespace)
        if source is not None and metric.name in source.own:
            return frozenset(), None
        if source is not None and any(each.name == metric.name for each in source.metrics):
            return frozenset(metric.labels), frozenset(metric.labels)
        if metric.name == ALERTS and metric.namespace == SHARED:
            return frozenset(("alertname", "alertstate")), None
        on_page = metric.namespace == SHARED and self._pages and metric.name not in self._recorded and not self.open
        return frozenset(("job", "instance") if on_page else ()), None

    # ---------------------------------------------------------------------------------- the rules above

    def _meaning(self, path: tuple[str, ...], *, promql: bool) -> _Meaning:
        if not path:
            known = self._pages or self._recorded or self.open
            return _Meaning(Metric("", SHARED)) if known else self._no_page("series by label alone")
        if len(path) > 1:
            return self._qualified(path[0], ".".join(path[1:]))
        return self._bare(path[0], promql=promql)

    def _qualified(self, first: str, name: str) -> _Meaning:
        source = self._sources.get(first)
        if source is None:
            if self.open:
                return _Meaning(Metric(name, first, Kind.UNKNOWN, unit_of_name(name)))
            hint = did_you_mean(first, self._sources) or f"the sources are {_listed(self._sources)}"
            return _failed(f"there is no source called {first}", hint)
        if source.namespace == SHARED:
            several = _Note(
                f"{first}.{name} is read from all metrics pages", f'{{job="{first}"}} picks one of them', warning=True
            )
            return self._on_page(name, (several,) if len(self._pages) > 1 else ())
        known = next((metric for metric in source.metrics if metric.name == name), None)
        if known is not None or name == UP:
            return _Meaning(known or Metric(UP, source.namespace, Kind.GAUGE))
        if source.closed:
            names = [metric.name for metric in source.metrics]
            return _failed(f"{first} has no metric {name}", did_you_mean(name, names) or f"it has {_listed(names)}")
        return self._field(source, name)

    def _field(self, source: SourceNames, name: str) -> _Meaning:
        """Take a field of an answer that is read later; a quantile of a probe's own metric is known already."""
        base, quantile = _quantile(name)
        for metric in source.metrics:
            if quantile is not None and metric.name == base:
                return _Meaning(metric, quantile)
        near = closest(name, [metric.name for metric in source.metrics], limit=1)
        notes: tuple[_Note, ...] = ()
        if near:
            message = f"{source.source}.{name} is no metric of the probe itself"
            notes = (_Note(message, f"did you mean {source.source}.{near[0]}?", warning=True),)
        unit = source.units.get(name) or unit_of_name(name)
        return _Meaning(Metric(name, source.namespace, Kind.UNKNOWN, unit), notes=notes)

    def _bare(self, name: str, *, promql: bool) -> _Meaning:
        if name == UP and (self._pages or not self._sources):
            return self._on_page(name)
        offers = [] if name == UP else self._closed.get(name, [])
        if len(offers) > 1:
            qualified = sorted(f"{source}.{name}" for source, _ in offers)
            return _failed(f"{name} is offered by several sources", f"write {' or '.join(qualified)}")
        if offers:
            source, metric = offers[0]
            theirs = f"{self._pages[0].source}.{name} is theirs, " if self._pages else ""
            note = _Note(
                f"{name} is read from {source}, though the metrics pages have it too",
                f"{theirs}{source}.{name} says which is meant",
                warning=True,
            )
            both = name in self._on_pages or name in self._recorded
            return _Meaning(metric, notes=(note,) if both else ())
        if name == ALERTS:
            return _Meaning(Metric(ALERTS, SHARED, Kind.GAUGE))
        if name in self._sources:
            return _failed(f"{name} is a source, not a metric", f"name one of its metrics, such as {name}.up")
        if self._pages or self.open or name in self._recorded:
            return self._on_page(name, () if promql else self._perhaps_mistyped(name), promql=promql)
        return self._unknown(name)

    def _on_page(self, name: str, notes: tuple[_Note, ...] = (), *, promql: bool = False) -> _Meaning:
        """Take a name of the shared namespace."""
        known = self._on_pages.get(name)
        if known is not None:
            unit = self._page_units.get(name) or known.unit or unit_of_name(name)
            return _Meaning(known._replace(unit=unit), notes=notes)
        base, quantile = _quantile(name)
        plain = promql or self.open or name in self._page_units or name in self._recorded
        if quantile is not None and not plain:
            return self._of_histogram(name, base, quantile, notes)
        unit = self._page_units.get(name) or unit_of_name(name)
        kind = Kind.GAUGE if name == UP else Kind.UNKNOWN
        return _Meaning(Metric(name, SHARED, kind, unit), notes=notes)

    def _of_histogram(self, name: str, base: str, quantile: float, notes: tuple[_Note, ...]) -> _Meaning:
        """Take NAME_p95 as a quantile of the pages' histogram NAME, whose buckets may be called by its unit.

        Where neither the name, the settings nor a page tells the unit, it is seconds and part of the
        histogram's name, as Prometheus' naming rules want it.
        """
        unit = self._page_units.get(base) or unit_of_name(base)
        told = unit or base in self._on_pages or f"{base}_bucket" in self._on_pages
        histogram = base if told else f"{base}_seconds"
        metric = Metric(f"{histogram}_bucket", SHARED, Kind.HISTOGRAM, unit or ("" if told else "s"))
        probes = [source.source for source in self._sources.values() if not source.closed and source not in self._pages]
        own = [f"{each}.{name}" for each in probes if any(m.name == base for m in self._sources[each].metrics)]
        note = _Note(
            f"{name} is computed from the histogram {histogram} of the metrics pages, if they have one",
            f"{' or '.join(own)} is the probe's own" if own else f"no source declares it: {self._asked()}",
            warning=True,
        )
        return _Meaning(metric, quantile, (*notes, note))

    # ---------------------------------------------------------------------------------- what to say

    def _perhaps_mistyped(self, name: str) -> tuple[_Note, ...]:
        """Warn of a name that is taken to be on a metrics page, but is near to a closed source's, or a part of it."""
        if name in self._on_pages or name in self._recorded or name in self._page_units:
            return ()
        letters = set(name)
        near = [
            each
            for each in self._closed
            if abs(len(each) - len(name)) <= 1 and len(letters ^ set(each)) <= 2 and distance(name, each) == 1  # noqa: PLR2004  one slip changes two letters at most
        ]
        if "_" not in name:  # `cpu` for `cpu_usage`
            near += [each for each in self._closed if each.startswith(f"{name}_")]
        if not near or _quantile(name)[1] is not None:
            return ()
        source = self._closed[near[0]][0][0]
        message = f"{name} is taken to be on the metrics pages"
        return (_Note(message, f"did you mean {near[0]}, of {source}?", warning=True),)

    def _unknown(self, name: str) -> _Meaning:
        """Say that no source has a name; where a source has it among its own, say how to write it."""
        base, quantile = _quantile(name)
        wanted = (name,) if quantile is None else (name, base)
        suffix = name.removeprefix(base)
        qualified = [
            f"{source.source}.{metric.name}{suffix if metric.name == base != name else ''}"
            for source in self._sources.values()
            for metric in source.metrics
            if metric.name in wanted
        ]
        if qualified:
            return _failed(f"no source offers {name} by that name alone", f"write {' or '.join(qualified)}")
        hint = did_you_mean(name, [*self._closed, *self._recorded])
        return _failed(f"no source offers {name}", hint or self._asked())

    def _no_page(self, what: str) -> _Meaning:
        return _failed(f"{what} come from metrics pages, and there is none", "add a source with `type: prometheus`")

    def _asked(self) -> str:
        """Say which sources there are and what they offer."""
        if not self._sources:
            return "no source is configured"
        parts = []
        for source in self._sources.values():
            names = _listed(metric.name for metric in source.metrics)
            parts.append(
                f"{source.source} ({source.kind}) offers {names}{'' if source.closed else ' and what it reads'}"
            )
        return "; ".join(parts)


def _failed(message: str, hint: str) -> _Meaning:
    return _Meaning(None, notes=(_Note(message, hint),))


def _listed(names: Iterable[str]) -> str:
    everything = list(names)
    rest = len(everything) - _LISTED
    return ", ".join(everything[:_LISTED]) + (f" and {rest} more" if rest > 0 else "") or "nothing"


def _quantile(name: str) -> tuple[str, float | None]:
    """Part `NAME_p95` into NAME and 0.95; `_p999` is 0.999. Other names: the name and None."""
    base, mark, digits = name.rpartition("_p")
    if not mark or not base or not digits.isdecimal() or not digits.isascii() or len(digits) not in (2, 3, 4):
        return name, None
    if digits == "100":
        return base, 1.0
    if len(digits) > 2 and digits[0] != "9":  # noqa: PLR2004  p105: nobody can tell whether that is 10.5
        return name, None
    return base, int(digits) / 10 ** len(digits)
