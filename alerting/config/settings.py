"""The settings file: found, read, checked, and turned into what the rest of the program needs.

Lines of a settings file that may hold secrets are not shown with a problem; file, line and column are.
"""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.config import placed, scrutiny
from alerting.config import schema as schemas
from alerting.config.cache import NOTHING, Cache, digest, place, program
from alerting.config.durations import millis
from alerting.config.exposed import holds_secrets
from alerting.config.files import overlooked, read_bytes, shown
from alerting.config.names import names_in, unknown
from alerting.config.noted import Noted
from alerting.config.references import resolved
from alerting.config.sections import SECTIONS, section, values_of, with_environment
from alerting.errors import ConfigError, Problem, SecretError
from alerting.model import NO_TEXTS, Flapping, Origin, Secret, Section, Storm

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from alerting.config.placed import File
    from alerting.config.sections import Steps
    from alerting.model import Inhibition, Millis, Route, TimeSpan

FILE_NAME = "alerting.yaml"
VARIABLE = "ALERTING_CONFIG"
DEFAULT_RULES = ("rules/*.yaml",)
LOOKBACK: Millis = 300_000
_ROUTING = ("route", "inhibit_rules", "time_intervals", "mute_time_intervals")  # keys that alerting.config.routes reads

NO_SECTIONS: Mapping[str, Section] = MappingProxyType({})
NO_TEAMS: Mapping[str, tuple[str, ...]] = MappingProxyType({})
NO_INTERVALS: Mapping[str, tuple[TimeSpan, ...]] = MappingProxyType({})


class Settings(NamedTuple):
    """What the settings say, with defaults filled in. Durations are in ms."""

    path: Path | None  # None: there is no settings file
    root: Path  # what relative paths are relative to
    rules: tuple[str, ...] = DEFAULT_RULES  # patterns, relative to root
    interval: Millis = 30_000
    store: str = "sqlite:///alerting.db"
    store_patience: Millis = 10_000  # in one call of a daemon that its disk does not answer
    sources: Mapping[str, Section] = NO_SECTIONS
    receivers: Mapping[str, Section] = NO_SECTIONS
    teams: Mapping[str, tuple[str, ...]] = NO_TEAMS  # names that stand for several receivers, or for none
    route: Route | None = None  # who is told of rules without `notify`
    inhibitions: tuple[Inhibition, ...] = ()
    intervals: Mapping[str, tuple[TimeSpan, ...]] = NO_INTERVALS  # windows of time by name
    flapping: Flapping | None = None
    storm: Storm = Storm()
    silence_warning: Millis = 900_000  # how long before a silence ends those are told whom it keeps from hearing
    external_labels: Mapping[str, str] = NO_TEXTS
    external_url: str = ""  # where people find this installation; empty: nobody said
    unknown_after: Millis = 300_000
    max_gap: Millis | None = None
    lookback: Millis = LOOKBACK
    secrets_refresh: Millis = 300_000  # how often secret stores are asked anew
    web: Mapping[str, Any] | None = None  # where the daemon serves its own health; None: nowhere
    heartbeat: Mapping[str, Any] | None = None  # who is told that it lives
    canary: Mapping[str, Any] | None = None  # how often an alert that means nothing is sent, and to whom
    warnings: tuple[Problem, ...] = ()
    cwd: Path | None = None  # what paths are shown relative to; None: root
    digest: str = ""  # of the file's bytes and of the variables that stand in for its keys
    partial: bool = False  # what could be read of a file that does not load (alerting.config.remains)

    @property
    def configured(self) -> bool:
        """Tell whether there is a settings file; without one receivers are not looked up."""
        return self.path is not None


def find_settings(explicit: str | None, env: Mapping[str, str], cwd: Path) -> Path | None:
    """Give the settings file: the one asked for, else ALERTING_CONFIG's, else alerting.yaml here, else None.

    Raises ConfigError when one was asked for and is not there, or is nearly there.
    """
    for asked, how in ((explicit, "--config"), (env.get(VARIABLE), VARIABLE)):
        if asked:
            path = cwd / asked
            if not path.exists():
                raise ConfigError([Problem(f"the settings file that {how} names is not there", asked)])
            return path
    if (cwd / FILE_NAME).exists():
        return cwd / FILE_NAME
    other = cwd / "alerting.yml"
    if other.exists():
        raise ConfigError([Problem("is not read by this name", other.name, hint=f"rename it to {FILE_NAME}")])
    return None


def load_settings(path: Path | None, env: Mapping[str, str], cwd: Path, cache: Cache = NOTHING) -> Settings:
    """Read and check the settings; without a file, those that need none: this host, and the console for all.

    Raises ConfigError with all problems that are not warnings.
    """
    if path is None:
        notice = Problem(
            "is not there: this host alone is read, and messages are printed",
            FILE_NAME,
            hint="`alerting init` writes one",
            warning=True,
        )
        return Settings(
            path=None,
            root=cwd,
            cwd=cwd,
            sources={"host": _section("host", {"type": "host"}, "sources", env)},
            warnings=(notice, *overlooked(cwd, DEFAULT_RULES, cwd)),
        )
    return _Reading(path, env, cwd).settings(cache)


def settings_within(file: File, path: Path, env: Mapping[str, str], cwd: Path) -> Settings:
    """Read settings that stand within another file, `path`: in `file` they are the document. Raises ConfigError."""
    return _Reading(path, env, cwd, file).settings(NOTHING)


class _Reading:
    """One settings file on its way to Settings: what was found, and where it stands."""

    def __init__(self, path: Path, env: Mapping[str, str], cwd: Path, file: File | None = None) -> None:
        self.path = path
        self.cwd = cwd
        self.name = shown(path, cwd) if file is None else file.name
        self.data = read_bytes(path, self.name) if file is None else file.data
        self.env = env
        self.noted = Noted(self.data, self.name, file)

    def settings(self, cache: Cache) -> Settings:
        """Read, check, build. Raises ConfigError."""
        stand_ins = sorted(variable for variable in _stand_ins() if self.env.get(variable))
        key = digest((program(), self.data, *(each.encode() for each in stand_ins)))
        where = place("settings", str(self.path))
        kept = cache.get(where, key)
        tree, origins, teams = kept if kept is not None else self._checked()
        made = self._built(tree, origins, teams)
        if kept is None:
            scrutiny.kinds(made.receivers, self.noted)
        self.noted.problems.sort(key=lambda each: (each.line, each.column))
        self.noted.problems += overlooked(made.root, made.rules, self.cwd)
        if self.noted.wrong:
            raise ConfigError(self.noted.problems)
        if kept is None and not teams and not holds_secrets(tree):  # a secret in the file is written nowhere else
            cache.put(where, key, (tree, origins, teams))
        return made._replace(warnings=tuple(self.noted.problems), digest=key)

    def _checked(self) -> tuple[Mapping[str, Any], Mapping[str, tuple[int, int]], Mapping[str, Sequence[str]]]:
        """Give what the file holds, where its sections stand, and names that stand for several receivers.

        Raises ConfigError where it breaks the schema.
        """
        file = self.noted.file
        if file.problems:
            raise ConfigError([each._replace(source_line="") for each in file.problems])
        if len(file.documents) > 1:
            self.noted.add("a second document begins here", file.documents[1].at, hint="settings are one document")
            raise ConfigError(self.noted.problems)
        tree = file.documents[0].value
        teams: Mapping[str, Sequence[str]] = {}
        if isinstance(tree, dict) and isinstance(tree.get("receivers"), list):
            tree, teams = self._translated(tree)
        self._check(tree)
        if self.noted.wrong:
            raise ConfigError(self.noted.problems)
        if "external_labels" in tree:
            tree["external_labels"] = placed.texts(file, tree["external_labels"])
        origins = {
            f"{group}/{name}": placed.place(self.noted.locate((group, name), at_key=True))
            for group in SECTIONS
            for name in tree.get(group, ())
        }
        if any(key in tree for key in _ROUTING):
            from alerting.config import routes  # noqa: PLC0415  few settings have a tree

            for path, _ in routes.nodes(tree):
                origins["/".join(map(str, path))] = placed.place(placed.locate(file.documents[0], path))
            routes.as_texts(file, tree)
        return tree, origins, teams

    def _translated(self, tree: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Sequence[str]]]:
        """Give the settings with receivers of ours for Alertmanager's list. Raises ConfigError for what it refuses."""
        from alerting.config import alertmanager  # noqa: PLC0415  few settings have its form

        taken = alertmanager.take(tree, self.noted.at, lambda value, _label, _path: value)
        if self.noted.wrong:
            raise ConfigError(self.noted.problems)
        self.noted.moved = {("receivers", name): path for name, path in taken.places.items()}
        return {**alertmanager.without_its_keys(tree, self.noted.at), "receivers": taken.receivers}, taken.names

    def _check(self, tree: Any) -> None:
        whole = self._completed(tree) if isinstance(tree, dict) else tree
        if schemas.fits("settings")(whole):
            return
        from alerting.config.complaints import complaints  # noqa: PLC0415  needs jsonschema: only to say what is wrong

        document = self.noted.file.documents[0]
        for each in complaints(whole, "settings"):
            hint = each.hint or placed.comment_hint(self.noted.file, document, each.path)
            self.noted.at(each.path, each.message, hint=hint, at_key=each.at_key)

    def _completed(self, tree: Mapping[str, Any]) -> dict[str, Any]:
        """Give the tree with the keys that variables of the environment stand in for."""
        whole = dict(tree)
        for group, home in SECTIONS.items():
            if isinstance(whole.get(group), dict):
                whole[group] = {
                    name: with_environment(entry, home, self.env) if isinstance(entry, dict) else entry
                    for name, entry in whole[group].items()
                }
        return whole

    def _built(
        self,
        tree: Mapping[str, Any],
        origins: Mapping[str, tuple[int, int]],
        teams: Mapping[str, Sequence[str]],
    ) -> Settings:
        """Turn a tree that fits the schema into Settings."""
        whole = self._completed(tree)
        sections = {group: self._sections(group, whole.get(group, {}), origins) for group in SECTIONS}
        self._stand_in(sections["receivers"], names_in(whole.get("fallback", ())))
        if "sources" not in whole:
            sections["sources"] = {"host": _section("host", {"type": "host"}, "sources", self.env)}
        routing = self._routing(whole, sections["receivers"], teams, origins)
        flapping = self._object("flapping", whole)
        keys = schemas.load("settings")["properties"]
        defaults = {key: part["default"] for key, part in keys.items() if "default" in part}
        value = {**defaults, **whole}
        settings = Settings(
            path=self.path,
            root=self.path.parent,
            cwd=self.cwd,
            rules=(value["rules"],) if isinstance(value["rules"], str) else tuple(value["rules"]),
            interval=millis(value["interval"]),
            store=self._plain(("store",), value["store"]),
            store_patience=millis(value["store_patience"]),
            sources=sections["sources"],
            receivers=sections["receivers"],
            teams={name: tuple(members) for name, members in teams.items()},
            flapping=Flapping(**flapping) if flapping is not None else None,
            storm=Storm(**(self._object("storm", whole) or {})),
            silence_warning=millis(value["silence_warning"]),
            external_labels={
                name: self._plain(("external_labels", name), text)
                for name, text in value.get("external_labels", {}).items()
            },
            external_url=self._address(("external_url",), value.get("external_url", "")),
            unknown_after=millis(value["unknown_after"]),
            max_gap=millis(value["max_gap"]) if "max_gap" in value else None,
            lookback=millis(value["lookback"]),
            secrets_refresh=millis(value["secrets_refresh"]),
            web=self._object("web", whole),
            heartbeat=self._object("heartbeat", whole),
            canary=self._object("canary", whole),
            **routing,
        )
        scrutiny.names(settings.receivers, (settings.canary or {}).get("receiver"), self.noted)
        scrutiny.references(tree, self.noted)
        scrutiny.secrets(tree, self.noted)
        return settings

    def _routing(
        self,
        whole: Mapping[str, Any],
        receivers: Collection[str],
        teams: Mapping[str, Sequence[str]],
        origins: Mapping[str, tuple[int, int]],
    ) -> Mapping[str, Any]:
        """Give `route`, `inhibitions` and `intervals` of the settings, where the file says anything of them."""
        if not any(key in whole for key in _ROUTING):
            return {}
        from alerting.config import routes  # noqa: PLC0415  few settings have a tree

        def origin(path: Steps) -> Origin:
            return Origin(self.name, *origins["/".join(map(str, path))])

        root = routes.ALERTMANAGERS if teams else routes.OURS
        names = {**{name: (name,) for name in receivers}, **teams}
        return routes.routing(whole, names, self.noted.at, origin, root)._asdict()

    def _object(self, key: str, whole: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if key not in whole:
            return None
        part = schemas.load("settings")["$defs"][key]
        return values_of(whole[key], part, "settings", partial(self._in_section, (key,)))

    def _sections(
        self,
        group: str,
        entries: Mapping[str, Any],
        origins: Mapping[str, tuple[int, int]],
    ) -> dict[str, Section]:
        made = {}
        for name, entry in entries.items():
            origin = Origin(self.name, *origins[f"{group}/{name}"])
            made[name] = section(name, entry, SECTIONS[group], origin, partial(self._in_section, (group, name)))
        return made

    def _stand_in(self, receivers: dict[str, Section], fallback: Sequence[str]) -> None:
        """Give receivers that name no fallback the one of the settings; nobody is his own."""
        for name in fallback:
            if name not in receivers:
                self.noted.at(("fallback",), f"no receiver {name!r}", hint=unknown(name, "receivers", receivers))
        for name, each in receivers.items():
            others = [other for other in fallback if other != name and other in receivers]
            if others and "fallback" not in each.values:
                receivers[name] = each._replace(values={**each.values, "fallback": others})

    def _in_section(self, top: Steps, path: Steps, message: str) -> None:
        self.noted.at((*top, *path), message)

    def _plain(self, path: Steps, text: str) -> str:
        """Follow the references of a text that is needed at once."""
        try:
            found = resolved(text)
            return found.reveal() if isinstance(found, Secret) else found
        except (ValueError, SecretError) as error:
            self.noted.at(path, str(error))
            return text

    def _address(self, path: Steps, text: str) -> str:
        """Follow the references of a web address that is shown to people."""
        address = self._plain(path, text)
        if address != text and (not address.startswith(("http://", "https://")) or "@" in address):
            self.noted.at(
                path, "what it refers to is no address that begins with http:// or https://, or has an @ in it"
            )
        return address


def _stand_ins() -> set[str]:
    """Give the variables that may stand in for a key (`x-env` in the schemas)."""
    return {
        part["x-env"]
        for home in SECTIONS.values()
        for kind in schemas.kinds(home)
        for part in schemas.load(home)["$defs"][kind]["properties"].values()
        if "x-env" in part
    }


def _section(name: str, entry: Mapping[str, Any], home: str, env: Mapping[str, str]) -> Section:
    return section(name, with_environment(entry, home, env), home, Origin(), lambda _path, _message: None)
