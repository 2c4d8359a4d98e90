"""The route tree, inhibitions and windows of the settings: Alertmanager's keys, with our defaults or its own.

What stands here has passed the schema. What can be said only of the whole (a receiver or a window that is not there,
matchers that fit nothing, a route behind one that takes all) is found here, with its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from alerting.config import placed
from alerting.config.deadends import contradiction, shadows
from alerting.config.durations import millis
from alerting.config.matchers import is_classic_name, parse_matchers
from alerting.config.windows import span_of
from alerting.core.lang.suggest import did_you_mean
from alerting.core.telling.matchers import Matchers, written
from alerting.errors import ConditionError, Span
from alerting.model import Cause, Inhibition, Matcher, Route, TimeSpan
from alerting.patterns import compile_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from alerting.config.placed import File
    from alerting.config.sections import Steps
    from alerting.model import Origin

WINDOWS = ("time_intervals", "mute_time_intervals")  # the second is the name that Alertmanager once had for them
NEVER = "never"
_SOURCES = ("sources", "source_matchers", "source_match", "source_match_re")
ALL = "..."  # in `group_by`: each alert by itself

# What a root route has that says nothing: ours tells at once, one message for each rule, and does not repeat.
OURS = Route((), group_by=("alertname",), group_wait=0, group_interval=0, repeat_interval=None)
ALERTMANAGERS = Route(())


class Report(Protocol):
    """Takes note of a problem. `part`: a text, and where in it the problem stands."""

    def __call__(
        self,
        path: Steps,
        message: str,
        *,
        hint: str = "",
        at_key: bool = False,
        warning: bool = False,
        part: tuple[str, Span] | None = None,
    ) -> None:
        """Take note."""
        ...


class Routing(NamedTuple):
    """Who is told, as the settings say it."""

    route: Route | None = None
    inhibitions: tuple[Inhibition, ...] = ()
    intervals: Mapping[str, tuple[TimeSpan, ...]] = {}


def routing(
    tree: Mapping[str, Any],
    receivers: Mapping[str, Sequence[str]],
    report: Report,
    origin: Callable[[Steps], Origin],
    root: Route = OURS,
) -> Routing:
    """Read what fits the schema. `receivers` says which of ours each name stands for; problems go to `report`."""
    return _Reader(receivers, report, origin).read(tree, root)


def name_of(causes: Sequence[Cause], targets: Sequence[Matcher]) -> str:
    """Name an inhibition that has no name."""
    said = " and ".join(written(each.matchers) or "any" for each in causes)
    return f"{said} > {written(targets) or 'any'}"


def nodes(tree: Mapping[str, Any]) -> Iterator[tuple[Steps, Mapping[str, Any]]]:
    """Give every route and every inhibition with its path, whether the rest fits the schema or not."""
    if isinstance(tree.get("route"), dict):
        yield from _below(("route",), tree["route"])
    for index, each in _mappings(tree.get("inhibit_rules")):
        yield ("inhibit_rules", index), each


def as_texts(file: File, tree: Mapping[str, Any]) -> None:
    """Make texts of the values under `match` and its like, as they are written: `code: 500` is the text 500."""
    for _, node in nodes(tree):
        for part in node.values():
            if isinstance(part, placed.Map):
                part.update(placed.texts(file, part))


def without(node: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Give a route and all below it without a key."""
    made = {each: value for each, value in node.items() if each != key}
    if isinstance(node.get("routes"), list):
        made["routes"] = [without(each, key) if isinstance(each, dict) else each for each in node["routes"]]
    return made


def _below(path: Steps, node: Mapping[str, Any]) -> Iterator[tuple[Steps, Mapping[str, Any]]]:
    yield path, node
    for index, each in _mappings(node.get("routes")):
        yield from _below((*path, "routes", index), each)


def _mappings(value: object) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if isinstance(value, list):
        yield from ((index, each) for index, each in enumerate(value) if isinstance(each, dict))


class _Reader:
    def __init__(
        self, receivers: Mapping[str, Sequence[str]], report: Report, origin: Callable[[Steps], Origin]
    ) -> None:
        self.receivers = receivers
        self.report = report
        self.origin = origin
        self.intervals: dict[str, tuple[TimeSpan, ...]] = {}

    def read(self, tree: Mapping[str, Any], root: Route) -> Routing:
        for key in WINDOWS:
            for index, each in enumerate(tree.get(key) or ()):
                self._window((key, index), each)
        route = self._root(tree["route"], root) if "route" in tree else None
        inhibitions = tuple(
            self._inhibition(("inhibit_rules", index), each)
            for index, each in enumerate(tree.get("inhibit_rules") or ())
        )
        return Routing(route, inhibitions, self.intervals)

    # ------------------------------------------------------------------ windows

    def _window(self, path: Steps, entry: Mapping[str, Any]) -> None:
        name = entry["name"]
        if name in self.intervals:
            self.report((*path, "name"), f"window {name!r} stands here again", hint="names of windows are unique")
        spans = entry.get("time_intervals") or ()
        if not spans:
            self.report(path, f"window {name!r} is never open: it has no entry", warning=True)
        made = []
        for index, each in enumerate(spans):
            here: Steps = (*path, "time_intervals", index)

            def trouble(below: Steps, message: str, hint: str, here: Steps = here) -> None:
                self.report((*here, *below), message, hint=hint)

            made.append(span_of(each or {}, trouble))
            if not each:
                self.report(here, "this entry says nothing, so the window is always open", warning=True)
        self.intervals[name] = tuple(made)

    def _known_windows(self, tree: Mapping[str, Any], key: str, path: Steps) -> tuple[str, ...]:
        for index, name in enumerate(tree.get(key) or ()):
            if name not in self.intervals:
                hint = did_you_mean(name, self.intervals) or "windows stand under `time_intervals:`"
                self.report((*path, key, index), f"no window {name!r}", hint=hint, part=(name, Span(0, len(name))))
        return tuple(tree.get(key) or ())

    # ------------------------------------------------------------------ routes

    def _root(self, tree: Mapping[str, Any], defaults: Route) -> Route:
        for key in ("matchers", "match", "match_re", "mute_time_intervals", "active_time_intervals", "continue"):
            if tree.get(key):
                hint = "write it in a route under `routes:`"
                self.report(
                    ("route", key), f"the first route takes every alert: no {key!r} here", hint=hint, at_key=True
                )
        if "receiver" not in tree:
            hint = "who is told of what no other route takes; `[]` is nobody"
            self.report(("route",), "the first route must name a receiver", hint=hint)
        return self._node(tree, ("route",), defaults)._replace(matchers=())

    def _node(self, tree: Mapping[str, Any], path: Steps, above: Route) -> Route:
        """Read a route and all below it; `above` is what it inherits from."""
        matchers = self._matchers(tree, path, "match")
        name = f"{above.name} > {written(matchers) or 'any'}" if len(path) > 1 else above.name
        every = tree.get("repeat_interval")
        node = above._replace(
            receivers=self._receivers(tree["receiver"], path) if "receiver" in tree else above.receivers,
            matchers=matchers,
            continue_=tree.get("continue", False),
            group_by=self._group_by(tree, path) if "group_by" in tree else above.group_by,
            group_wait=millis(tree["group_wait"]) if "group_wait" in tree else above.group_wait,
            group_interval=millis(tree["group_interval"]) if "group_interval" in tree else above.group_interval,
            repeat_interval=above.repeat_interval if every is None else None if every == NEVER else millis(every),
            mute_time_intervals=self._known_windows(tree, "mute_time_intervals", path),
            active_time_intervals=self._known_windows(tree, "active_time_intervals", path),
            name=name,
            origin=self.origin(path),
        )
        below = [
            self._node(each, (*path, "routes", index), node) for index, each in enumerate(tree.get("routes") or ())
        ]
        self._look_at_siblings(below, path)
        return node._replace(routes=tuple(below))

    def _look_at_siblings(self, below: Sequence[Route], path: Steps) -> None:
        for index, later in enumerate(below):
            former = next((each for each in below[:index] if shadows(each, later)), None)
            if former is not None:
                message = (
                    f"no alert comes here: the route in line {former.origin.line} takes it and does not `continue`"
                )
                hint = "put this one before it" if later.matchers != former.matchers else "remove one of them"
                self.report((*path, "routes", index), message, hint=hint, warning=True)

    def _receivers(self, value: str | Sequence[str], path: Steps) -> tuple[str, ...]:
        if isinstance(value, str) and value in self.receivers:
            return tuple(self.receivers[value])  # Alertmanager's names may hold commas
        pieces = value.split(",") if isinstance(value, str) else value
        found: list[str] = []
        for index, piece in enumerate(pieces):
            name = piece.strip()
            found += self.receivers.get(name, ())
            if name not in self.receivers:
                at: Steps = (*path, "receiver") if isinstance(value, str) else (*path, "receiver", index)
                text = value if isinstance(value, str) else piece
                hint = did_you_mean(name, self.receivers) or _known(self.receivers)
                start = max(text.find(name), 0)
                self.report(at, f"no receiver {name!r}", hint=hint, part=(text, Span(start, start + len(name))))
        return tuple(dict.fromkeys(found))

    def _group_by(self, tree: Mapping[str, Any], path: Steps) -> tuple[str, ...]:
        names = tree["group_by"] or ()
        for index, name in enumerate(names):
            at = (*path, "group_by", index)
            if name == ALL and len(names) > 1:
                hint = "leave out the names: `...` takes each alert by itself"
                self.report(at, "`...` stands beside names of labels", hint=hint)
            elif name in names[:index]:
                self.report(at, f"label {name!r} stands here again", part=(name, Span(0, len(name))))
        return tuple(names)

    # ------------------------------------------------------------------ inhibitions

    def _inhibition(self, path: Steps, tree: Mapping[str, Any]) -> Inhibition:
        first, *more = self._causes(tree, path)
        targets = self._matchers(tree, path, "target_match")
        if not first.matchers:
            if not any(tree.get(key) for key in _SOURCES):  # else it was said what is wrong with them
                hint = "write `source_matchers`: while what they fit fires, the targets are not told"
                self.report(path, "any alert would keep the targets back", hint=hint)
        elif not targets and not any(each.equal for each in (first, *more)):
            hint = "write `target_matchers`, or labels under `equal` that both must share"
            fires = " and ".join(written(each.matchers) for each in (first, *more))
            message = f"while {fires} {'fire' if more else 'fires'}, nobody would be told of anything else"
            self.report(path, message, hint=hint, warning=True)
        name = tree.get("name") or name_of((first, *more), targets)
        return Inhibition(first.matchers, targets, first.equal, name, self.origin(path), tuple(more))

    def _causes(self, tree: Mapping[str, Any], path: Steps) -> list[Cause]:
        """Read what must fire: one thing, or each of `sources`."""
        entries = tree.get("sources") or ()
        if not entries:
            return [Cause(self._matchers(tree, path, "source_match"), tuple(tree.get("equal") or ()))]
        for key in (*_SOURCES[1:], "equal"):
            if tree.get(key):
                hint = "write it into the entries of `sources`"
                self.report((*path, key), f"{key!r} does not stand beside `sources`", hint=hint, at_key=True)
        made = []
        for index, each in enumerate(entries):
            here: Steps = (*path, "sources", index)
            cause = Cause(self._matchers(each, here, "match"), tuple(each.get("equal") or ()))
            if cause.matchers and Matchers(cause.matchers, compile_pattern).fits({}):
                hint = "write a matcher that asks for something"
                self.report((*here, "matchers"), "this source fits any alert", hint=hint)
            made.append(cause)
        return made

    # ------------------------------------------------------------------ matchers

    def _matchers(self, tree: Mapping[str, Any], path: Steps, key: str) -> tuple[Matcher, ...]:
        """Read `match`, `match_re` and `matchers`, or the same of an inhibition's side; together they all must fit."""
        found: list[Matcher] = []
        for op, form in (("=", key), ("=~", f"{key}_re")):
            for name, value in (tree.get(form) or {}).items():
                if not is_classic_name(name):
                    self.report((*path, form, name), f"{name!r} is no name of a label", at_key=True)
                found += self._compiled([Matcher(name, op, str(value))], (*path, form, name))
        texts = tree.get(f"{key}ers") or ()
        for index, text in enumerate([texts] if isinstance(texts, str) else texts):
            at: Steps = (*path, f"{key}ers") if isinstance(texts, str) else (*path, f"{key}ers", index)
            try:
                found += self._compiled(parse_matchers(text), at)
            except ConditionError as error:
                for each in error.diagnostics:
                    self.report(at, each.message, hint=each.hint, part=(text, each.span))
        why = contradiction(found, compile_pattern)
        if why:
            first = next(form for form in (f"{key}ers", key, f"{key}_re") if tree.get(form))
            self.report((*path, first), why, hint="remove one of the matchers")
        return tuple(found)

    def _compiled(self, matchers: Sequence[Matcher], path: Steps) -> list[Matcher]:
        """Give those whose patterns are valid."""
        good: list[Matcher] = []
        for each in matchers:
            try:
                Matchers([each], compile_pattern)
                good.append(each)
            except ValueError as error:
                self.report(path, f"the pattern of {each.name} is not valid: {error}")
        return good


def _known(names: Mapping[str, object]) -> str:
    return f"known receivers: {', '.join(sorted(names))}" if names else "write it under `receivers:` in the settings"
