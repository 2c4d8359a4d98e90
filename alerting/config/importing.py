"""An Alertmanager file written out as settings of ours; what could not be taken is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from alerting.config import alertmanager, placed, routes
from alerting.config.complaints import complaints
from alerting.config.noted import Noted
from alerting.config.references import parts
from alerting.core.telling.matchers import written
from alerting.errors import ConfigError, Problem
from alerting.model import Origin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alerting.config.sections import Steps
    from alerting.model import Cause, Inhibition, Matcher, Route

_HEAD = "# Made from {name} by `alerting import alertmanager`.\n"
_ROUTING = ("route", "inhibit_rules", *routes.WINDOWS)
_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))


class Imported(NamedTuple):
    """Settings as text, and what could not be taken."""

    text: str
    warnings: tuple[Problem, ...]


def imported(data: bytes, name: str) -> Imported:
    """Turn an Alertmanager file into settings. Raises ConfigError with all that Alertmanager would refuse."""
    return _Importing(data, name).run()


class _Importing:
    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        self.noted = Noted(data, name)
        self.variables: dict[str, str] = {}  # secret -> the variable that stands for it

    def run(self) -> Imported:
        tree = self._tree()
        alertmanager.look_at_top(tree, self.noted.at)
        taken = alertmanager.take(tree, self.noted.at, self._secret)
        found = self._routing(tree, taken.names)
        self.noted.problems.sort(key=lambda each: (each.line, each.column))
        if self.noted.wrong or found.route is None:
            raise ConfigError([each for each in self.noted.problems if not each.warning])
        made: dict[str, Any] = {"receivers": taken.receivers, "route": _route(found.route)}
        if found.inhibitions:
            made["inhibit_rules"] = [_inhibition(each) for each in found.inhibitions]
        windows = [each for key in routes.WINDOWS for each in tree.get(key) or ()]
        if windows:
            made["time_intervals"] = windows
        text = yaml.dump(made, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)
        return Imported(_HEAD.format(name=" ".join(self.name.split())) + text, tuple(self.noted.problems))

    def _tree(self) -> Mapping[str, Any]:
        file = self.noted.file
        problems = [each._replace(source_line="") for each in file.problems]
        if not problems and len(file.documents) > 1:
            problems = [Problem("holds more than one document", self.name)]
        if not problems and not isinstance(file.documents[0].value, dict):
            problems = [Problem("holds no settings of Alertmanager", self.name)]
        if problems:
            raise ConfigError(problems)
        tree: Mapping[str, Any] = file.documents[0].value
        if not tree.get("route"):
            raise ConfigError([Problem("has no route: it is no file of Alertmanager", self.name)])
        return tree

    def _routing(self, tree: Mapping[str, Any], names: Mapping[str, Sequence[str]]) -> routes.Routing:
        """Read the routes as our own settings are read: the keys are the same."""
        left = alertmanager.without_its_keys(tree, self.noted.at)
        stripped = {key: left[key] for key in _ROUTING if left.get(key)}
        found = complaints(stripped, "settings")
        for each in found:
            self.noted.at(each.path, each.message, hint=each.hint, at_key=each.at_key)
        if found:
            return routes.Routing()
        routes.as_texts(self.noted.file, stripped)

        def origin(path: Steps) -> Origin:
            at = placed.locate(self.noted.file.documents[0], path)
            return Origin(self.name, *placed.place(at))

        return routes.routing(stripped, names, self.noted.at, origin, routes.ALERTMANAGERS)

    def _secret(self, value: str, label: str, path: Steps) -> str:
        """Put a variable in the place of a secret; one that stands there as a reference stays."""
        try:
            if "${" in value and all(not isinstance(each, str) for each in parts(value)):
                return value
        except ValueError:
            pass
        name = self.variables.get(value)
        if name is None:
            name = "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in label).upper()
            name = f"_{name}" if name[:1].isdigit() else name
            while name in self.variables.values():
                name += "_"
            self.variables[value] = name
            self.noted.at(path, f"a secret stands here: set {name} to it in the environment", warning=True)
        return f"${{{name}}}"


def _route(route: Route) -> dict[str, Any]:
    """Write the first route with all that it says, so that no default of ours takes the place of Alertmanager's."""
    made = _node(route, None)
    made["routes"] = [_below(each, route) for each in route.routes]
    return {key: value for key, value in made.items() if key != "routes" or value}


def _below(route: Route, above: Route) -> dict[str, Any]:
    made: dict[str, Any] = {"matchers": _matchers(route.matchers)} if route.matchers else {}
    made |= _node(route, above)
    for key in ("mute_time_intervals", "active_time_intervals"):
        if getattr(route, key):
            made[key] = list(getattr(route, key))
    if route.continue_:
        made["continue"] = True
    if route.routes:
        made["routes"] = [_below(each, route) for each in route.routes]
    return made


def _node(route: Route, above: Route | None) -> dict[str, Any]:
    """Write what a route says otherwise than the one above it."""
    every = {
        "receiver": route.receivers[0] if len(route.receivers) == 1 else list(route.receivers),
        "group_by": list(route.group_by),
        "group_wait": _duration(route.group_wait),
        "group_interval": _duration(route.group_interval),
        "repeat_interval": routes.NEVER if route.repeat_interval is None else _duration(route.repeat_interval),
    }
    if above is None:
        return every
    same = _node(above, None)
    return {key: value for key, value in every.items() if value != same[key]}


def _inhibition(each: Inhibition) -> dict[str, Any]:
    made: dict[str, Any] = {} if each.name == routes.name_of(each.causes, each.targets) else {"name": each.name}
    if each.more:
        made["sources"] = [_cause(cause) for cause in each.causes]
    else:
        made["source_matchers"] = _matchers(each.sources)
    if each.targets:
        made["target_matchers"] = _matchers(each.targets)
    return {**made, "equal": list(each.equal)} if each.equal and not each.more else made


def _cause(cause: Cause) -> dict[str, Any]:
    made: dict[str, Any] = {"matchers": _matchers(cause.matchers)}
    return {**made, "equal": list(cause.equal)} if cause.equal else made


def _matchers(matchers: Sequence[Matcher]) -> list[str]:
    return [written([each]) for each in matchers]


def _duration(millis: int) -> str:
    made = ""
    for unit, length in _UNITS:
        count, millis = divmod(millis, length)
        made += f"{count}{unit}" if count else ""
    return made or "0s"


class _Plain(yaml.SafeDumper):
    """Writes everything out: an anchor would be a riddle."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  PyYAML's signature
        """Tell that nothing is written as an alias."""
        return True


for _kind, _plain in ((placed.Map, dict), (placed.Seq, list)):
    _Plain.add_representer(_kind, getattr(yaml.SafeDumper, f"represent_{_plain.__name__}"))
