"""The settings file: found, read, checked, and turned into what the rest of the program needs.

Lines of a settings file are never shown with a problem, because they may hold secrets; file, line and column are.
"""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.config import schema as schemas
from alerting.config.cache import NOTHING, Cache, digest, place, program
from alerting.config.durations import millis
from alerting.config.files import overlooked, read_bytes, shown
from alerting.config.references import SECRET_LENGTH, Reference, has_bare, is_literal, parts, resolved
from alerting.config.sections import secrets_in, section, values_of, with_environment
from alerting.core.lang.suggest import did_you_mean
from alerting.errors import ConfigError, Problem, SecretError
from alerting.model import NO_TEXTS, Origin, Secret, Section

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from alerting.config.documents import File
    from alerting.config.sections import Steps
    from alerting.model import Millis

FILE_NAME = "alerting.yaml"
VARIABLE = "ALERTING_CONFIG"
DEFAULT_RULES = ("rules/*.yaml",)
LOOKBACK: Millis = 300_000
_TOKENS = ("AKIA", "ASIA", "dp.st.", "dp.pt.", "dp.ct.", "dp.sa.", "xoxb-", "xoxp-", "xapp-", "sntrys_", "sntryu_")

_SECTIONS = {"sources": "sources", "receivers": "notifiers"}  # key of the settings -> schema of its entries
_OBJECTS = ("web", "heartbeat")  # keys of the settings that hold one object


NO_SECTIONS: Mapping[str, Section] = MappingProxyType({})


class Settings(NamedTuple):
    """What the settings say, with defaults filled in. Durations are in ms."""

    path: Path | None  # None: there is no settings file
    root: Path  # what relative paths are relative to
    rules: tuple[str, ...] = DEFAULT_RULES  # patterns, relative to root
    interval: Millis = 30_000
    store: str = "sqlite:///alerting.db"
    sources: Mapping[str, Section] = NO_SECTIONS
    receivers: Mapping[str, Section] = NO_SECTIONS
    route: tuple[str, ...] = ()  # who is told of rules without `notify`
    external_labels: Mapping[str, str] = NO_TEXTS
    unknown_after: Millis = 300_000
    max_gap: Millis | None = None
    lookback: Millis = LOOKBACK
    secrets_refresh: Millis = 300_000  # how often secret stores are asked anew
    web: Mapping[str, Any] | None = None  # where the daemon serves its own health; None: nowhere
    heartbeat: Mapping[str, Any] | None = None  # who is told that it lives
    warnings: tuple[Problem, ...] = ()
    cwd: Path | None = None  # what paths are shown relative to; None: root
    digest: str = ""  # of the file's bytes and of the variables that stand in for its keys

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


class _Reading:
    """One settings file on its way to Settings: what was found, and where it stands."""

    def __init__(self, path: Path, env: Mapping[str, str], cwd: Path) -> None:
        self.path = path
        self.cwd = cwd
        self.name = shown(path, cwd)
        self.data = read_bytes(path, self.name)
        self.env = env
        self.problems: list[Problem] = []
        self._file: File | None = None

    def settings(self, cache: Cache) -> Settings:
        """Read, check, build. Raises ConfigError."""
        stand_ins = sorted(variable for variable in _stand_ins() if self.env.get(variable))
        key = digest((program(), self.data, *(each.encode() for each in stand_ins)))
        where = place("settings", str(self.path))
        kept = cache.get(where, key)
        tree, origins = kept if kept is not None else self._checked()
        made = self._built(tree, origins)
        self.problems += overlooked(made.root, made.rules, self.cwd)
        if any(not each.warning for each in self.problems):
            raise ConfigError(self.problems)
        if kept is None and not _holds_secrets(tree):  # a secret that stands in the file is written nowhere else
            cache.put(where, key, (tree, origins))
        return made._replace(warnings=tuple(self.problems), digest=key)

    def _checked(self) -> tuple[Mapping[str, Any], Mapping[str, tuple[int, int]]]:
        """Give what the file holds and where its sections stand. Raises ConfigError where it breaks the schema."""
        from alerting.config import documents  # noqa: PLC0415  PyYAML is not needed where the cache knows the file

        file = self._parsed()
        if file.problems:
            raise ConfigError([each._replace(source_line="") for each in file.problems])
        if len(file.documents) > 1:
            self._add("a second document begins here", file.documents[1].at, hint="settings are one document")
            raise ConfigError(self.problems)
        tree = file.documents[0].value
        self._check(tree)
        if self.problems:
            raise ConfigError(self.problems)
        if "external_labels" in tree:
            tree["external_labels"] = documents.texts(file, tree["external_labels"])
        origins = {
            f"{group}/{name}": documents.place(tree[group].key_at(name))
            for group in _SECTIONS
            for name in tree.get(group, ())
        }
        return tree, origins

    def _check(self, tree: Any) -> None:
        whole = self._completed(tree) if isinstance(tree, dict) else tree
        if schemas.fits("settings")(whole):
            return
        from alerting.config.complaints import complaints  # noqa: PLC0415  needs jsonschema: only to say what is wrong
        from alerting.config.documents import comment_hint  # noqa: PLC0415  PyYAML: as below

        document = self._parsed().documents[0]
        for each in complaints(whole, "settings"):
            hint = each.hint or comment_hint(self._parsed(), document, each.path)
            self._at(each.path, each.message, hint=hint, at_key=each.at_key)

    def _completed(self, tree: Mapping[str, Any]) -> dict[str, Any]:
        """Give the tree with the keys that variables of the environment stand in for."""
        whole = dict(tree)
        for group, home in _SECTIONS.items():
            if isinstance(whole.get(group), dict):
                whole[group] = {
                    name: with_environment(entry, home, self.env) if isinstance(entry, dict) else entry
                    for name, entry in whole[group].items()
                }
        return whole

    def _built(self, tree: Mapping[str, Any], origins: Mapping[str, tuple[int, int]]) -> Settings:
        """Turn a tree that fits the schema into Settings."""
        whole = self._completed(tree)
        sections = {group: self._sections(group, whole.get(group, {}), origins) for group in _SECTIONS}
        if "sources" not in whole:
            sections["sources"] = {"host": _section("host", {"type": "host"}, "sources", self.env)}
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
            sources=sections["sources"],
            receivers=sections["receivers"],
            route=tuple(names_in(value.get("route", {}).get("receiver", ()))),
            external_labels={
                name: self._plain(("external_labels", name), text)
                for name, text in value.get("external_labels", {}).items()
            },
            unknown_after=millis(value["unknown_after"]),
            max_gap=millis(value["max_gap"]) if "max_gap" in value else None,
            lookback=millis(value["lookback"]),
            secrets_refresh=millis(value["secrets_refresh"]),
            web=self._object("web", whole),
            heartbeat=self._object("heartbeat", whole),
        )
        self._look_at_names(settings)
        self._look_at_references(tree)
        return settings

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
            made[name] = section(name, entry, _SECTIONS[group], origin, partial(self._in_section, (group, name)))
        return made

    def _in_section(self, top: Steps, path: Steps, message: str) -> None:
        self._at((*top, *path), message)

    def _look_at_names(self, settings: Settings) -> None:
        for name in settings.route:
            if name not in settings.receivers:
                hint = did_you_mean(name, settings.receivers) or known("receivers", settings.receivers)
                self._at(("route", "receiver"), f"no receiver {name!r}", hint=hint)

    def _look_at_references(self, tree: Mapping[str, Any]) -> None:
        """Warn of references that lead nowhere, as far as nobody need be asked, and of secrets in the file itself."""
        for path, text in _texts({key: tree.get(key) for key in (*_SECTIONS, *_OBJECTS)}):
            try:
                found = [each for each in parts(text) if isinstance(each, Reference)]
            except ValueError:
                continue  # said where the section was made
            for each in found:
                try:
                    each.look()
                except SecretError as error:
                    self._at(path, str(error), hint="what needs it will not work until it is set", warning=True)
            if has_bare(text):
                hint = "write ${NAME} for a variable, $$ for a plain dollar sign"
                self._at(path, "`$` without braces stays as it is", hint=hint, warning=True)
        secret_keys = {path for path, _ in _secrets(tree)}
        for path, text in _texts(tree):
            if is_token(text) or (path in secret_keys and is_literal(text)):
                hint = f"write ${{NAME}} and set NAME in the environment, or ${{file:/run/secrets/{path[-1]}}}"
                self._at(path, f"{str(path[-1])!r} looks like a secret in the file itself", hint=hint, warning=True)
            if _has_password(text):
                hint = "write ${NAME} in its place, or use `headers`"
                self._at(path, f"{str(path[-1])!r} has a password in the file itself", hint=hint, warning=True)

    def _plain(self, path: Steps, text: str) -> str:
        """Follow the references of a text that is needed at once."""
        try:
            found = resolved(text)
            return found.reveal() if isinstance(found, Secret) else found
        except (ValueError, SecretError) as error:
            self._at(path, str(error))
            return text

    def _parsed(self) -> File:
        if self._file is None:
            from alerting.config import documents  # noqa: PLC0415  PyYAML: only where a file must be read

            self._file = documents.parse(self.data, self.name)
        return self._file

    def _at(self, path: Steps, message: str, *, hint: str = "", at_key: bool = False, warning: bool = False) -> None:
        from alerting.config.documents import locate  # noqa: PLC0415  PyYAML: only where something is wrong

        file = self._parsed()
        at = locate(file.documents[0], path, at_key=at_key)
        self._add(message, at, hint=hint, warning=warning)

    def _add(self, message: str, at: int, *, hint: str = "", warning: bool = False) -> None:
        problem = self._parsed().problem(message, at, hint=hint, warning=warning)
        self.problems.append(problem._replace(source_line=""))


def names_in(written: str | Sequence[str]) -> list[str]:
    """Give the names of a list, or of a text with commas between them."""
    pieces = written.split(",") if isinstance(written, str) else written
    return [piece.strip() for piece in pieces if piece.strip()]


def known(what: str, names: Collection[str]) -> str:
    """Say which names there are."""
    return f"known {what}: {', '.join(sorted(names))}" if names else f"write it under `{what}:` in the settings"


def is_token(text: str) -> bool:
    """Tell whether some word of a text begins as the tokens of AWS, Doppler, Slack or Sentry do, whatever the key."""
    words = "".join(letter if letter.isalnum() or letter in "-_." else " " for letter in text).split()
    return any(len(word) >= SECRET_LENGTH and word.startswith(_TOKENS) for word in words)


def _has_password(text: str) -> bool:
    """Tell whether an address holds `user:password@` in plain."""
    scheme, found, rest = text.partition("://")
    user, at, _ = rest.split("/")[0].rpartition("@")
    password = user.partition(":")[2]
    return bool(scheme and found and at and password) and "${" not in password


def _holds_secrets(tree: Mapping[str, Any]) -> bool:
    """Tell whether the file itself may hold a secret: any text under a secret key that is no reference counts."""
    plain = any("${" not in text or is_literal(text.replace("${", " ")) for _, text in _secrets(tree))
    return plain or any(("://" in text and "@" in text) or is_token(text) for _, text in _texts(tree))


def _secrets(tree: Mapping[str, Any]) -> list[tuple[Steps, str]]:
    """Find the texts under secret keys, with their paths."""
    keys = schemas.load("settings")["properties"]
    in_objects = [secrets_in(tree[key], keys[key], "settings", (key,)) for key in _OBJECTS if key in tree]
    in_sections = [
        secrets_in(entry, schemas.load(home)["$defs"][entry["type"]], home, (group, name))
        for group, home in _SECTIONS.items()
        for name, entry in tree.get(group, {}).items()
    ]
    return [each for found in (*in_objects, *in_sections) for each in found]


def _texts(value: Any, path: Steps = ()) -> Iterator[tuple[Steps, str]]:
    """Give all texts with their paths."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(item, (*path, key))


def _stand_ins() -> set[str]:
    """Give the variables that may stand in for a key (`x-env` in the schemas)."""
    return {
        part["x-env"]
        for home in _SECTIONS.values()
        for kind in schemas.kinds(home)
        for part in schemas.load(home)["$defs"][kind]["properties"].values()
        if "x-env" in part
    }


def _section(name: str, entry: Mapping[str, Any], home: str, env: Mapping[str, str]) -> Section:
    return section(name, with_environment(entry, home, env), home, Origin(), lambda _path, _message: None)
