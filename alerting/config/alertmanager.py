"""Alertmanager's configuration: as strictly read as there, and its receivers turned into ours.

Taken are the kinds slack, pagerduty, webhook and email, with what says where messages go. How they look is not: ours
have a form of their own. What is not taken is said; a receiver of which nothing can be taken prints to the console,
so that nobody believes that it was silent for want of alerts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.config import schema as schemas
from alerting.config.alertmanager_keys import GLOBAL, KINDS, NEEDS, NOT_TAKEN, STRUCTURED, TOP
from alerting.config.alertmanager_kinds import TRANSLATORS, Entry, Secret
from alerting.config.routes import nodes, without
from alerting.config.sections import section
from alerting.core.lang.suggest import did_you_mean
from alerting.model import NOWHERE
from alerting.registry import notifier_problems

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from alerting.config.routes import Report
    from alerting.config.sections import Steps

POST_MESSAGE = "https://slack.com/api/chat.postMessage"
_SUFFIX = "_configs"


class Taken(NamedTuple):
    """Receivers of ours: their entries by name, which of them each of Alertmanager's names means, whence they came."""

    receivers: dict[str, dict[str, Any]]
    names: dict[str, tuple[str, ...]]
    places: dict[str, Steps]


def without_its_keys(tree: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Give what is left when the receivers and all that only Alertmanager knows are taken away."""
    left = {key: value for key, value in tree.items() if key not in ("global", "receivers", *NOT_TAKEN)}
    for path, node in nodes(left):
        if path[0] == "route" and node.get("labels"):
            hint = "messages have a form of their own"
            report((*path, "labels"), "'labels' of a route are not taken", hint=hint, at_key=True, warning=True)
    return {**left, "route": without(left["route"], "labels")} if isinstance(left.get("route"), dict) else left


def take(tree: Mapping[str, Any], report: Report, secret: Secret) -> Taken:
    """Check `global` and `receivers` as Alertmanager does, and translate. What is wrong or left out goes to `report`.

    `secret` is given each secret that stands in the file itself, and gives what is to be written in its place.
    """
    return _Taking(tree, report, secret).run()


def look_at_top(tree: Mapping[str, Any], report: Report) -> None:
    """Refuse keys of the top that Alertmanager does not know."""
    _look_at_keys(tree, TOP, (), report)


class _Taking:
    def __init__(self, tree: Mapping[str, Any], report: Report, secret: Secret) -> None:
        self.tree = tree
        self.report = report
        self.secret = secret
        self.taken = Taken({}, {}, {})
        self.globals: Mapping[str, Any] = {}
        self.good = True  # the defaults under `global` are usable

    def run(self) -> Taken:
        for key, why in NOT_TAKEN.items():
            if self.tree.get(key):
                self.report((key,), f"{key!r} is not taken", hint=why, at_key=True, warning=True)
        found = self.tree.get("global") or {}
        if self._is(found, dict, ("global",)):
            self.globals = found
            _look_at_keys(found, GLOBAL, ("global",), self.report)
            self._look_at_pairs(found, ("global",), GLOBAL)
            self.good = self._look_at_http(found, ("global",))
            self._look_at_slack(found, ("global",), "slack_")
        receivers = self.tree.get("receivers") or []
        for index, each in enumerate(receivers if self._is(receivers, list, ("receivers",)) else ()):
            path: Steps = ("receivers", index)
            if self._is(each, dict, path):
                self._receiver(each, path)
        return self.taken

    def _receiver(self, receiver: Mapping[str, Any], path: Steps) -> None:
        name = receiver.get("name")
        if not isinstance(name, str) or not name:
            self.report(path, "key 'name' is missing", hint="routes call a receiver by it")
            return
        if name in self.taken.names:
            self.report((*path, "name"), f"receiver {name!r} stands here again", hint="names are unique")
            return
        _look_at_keys(receiver, {"name", *(f"{kind}{_SUFFIX}" for kind in KINDS)}, path, self.report)
        entries = [each for each in self._entries(receiver, path) if self._look_at(*each)]
        own = [each for each in entries if each[0] in TRANSLATORS]
        for kind, _, at in entries:
            if kind not in TRANSLATORS:
                hint = "a `webhook` or `apprise` receiver may do"
                self.report(at, f"{kind}{_SUFFIX} is not taken: there is no such kind here", hint=hint, warning=True)
        self._translate(name, own, path, nothing=len(own) < len(entries))

    def _entries(self, receiver: Mapping[str, Any], path: Steps) -> Iterator[tuple[str, Mapping[str, Any], Steps]]:
        for key in receiver:
            kind = key.removesuffix(_SUFFIX)
            if key == "name" or kind not in KINDS or not self._is(receiver[key] or [], list, (*path, key)):
                continue
            for index, entry in enumerate(receiver[key] or ()):
                if self._is(entry or {}, dict, (*path, key, index)):
                    yield kind, entry or {}, (*path, key, index)

    def _translate(
        self, name: str, entries: list[tuple[str, Mapping[str, Any], Steps]], path: Steps, *, nothing: bool
    ) -> None:
        made: list[str] = []
        for kind, entry, at in entries:
            base = _plain(name) if len(entries) == 1 else f"{_plain(name)}.{kind}"
            own = _unused(base, self.taken.receivers)
            translated = TRANSLATORS[kind](Entry(kind, own, entry, self.globals, at, self.report, self.secret))
            if translated is None or self._is_template(translated, at):
                nothing = True
                continue
            self._look_at_ours({"type": kind, **translated}, at)
            self.taken.receivers[own], self.taken.places[own] = {"type": kind, **translated}, at
            made.append(own)
        if nothing and not made:
            own = _unused(_plain(name), self.taken.receivers)
            message = f"nothing of receiver {name!r} could be taken: its messages are printed to the console"
            self.report(path, message, hint="put another receiver in its place", warning=True)
            self.taken.receivers[own], self.taken.places[own] = {"type": "console"}, path
            made.append(own)
        self.taken.names[name] = tuple(made)

    def _is_template(self, entry: Mapping[str, Any], path: Steps) -> bool:
        key = next((key for key, value in entry.items() if isinstance(value, str) and "{{" in value), "")
        if key:
            hint = "it differs from message to message; write a receiver and a route for each of its values"
            self.report(path, f"not taken: {key!r} is a template", hint=hint, warning=True)
        return bool(key)

    def _look_at_ours(self, entry: Mapping[str, Any], path: Steps) -> None:
        """Refuse what was taken over and is not possible here."""
        if schemas.fits("notifiers")(entry):
            made = section("", entry, "notifiers", NOWHERE, lambda _path, message: self.report(path, message))
            for _, message in notifier_problems(made):
                self.report(path, message)
        else:
            from alerting.config.complaints import complaints  # noqa: PLC0415  jsonschema: only to say what is wrong

            for each in complaints(entry, "notifiers"):
                self.report(path, each.message, hint=each.hint)

    # ------------------------------------------------------------------ what Alertmanager refuses

    def _look_at(self, kind: str, entry: Mapping[str, Any], path: Steps) -> bool:
        """Check one entry of a receiver; True when it may be translated."""
        _look_at_keys(entry, KINDS[kind], path, self.report)
        self._look_at_pairs(entry, path, KINDS[kind])
        if kind == "slack":
            self._look_at_slack(entry, path, "")
        good = self.good and self._look_at_http(entry, path)
        for need in NEEDS[kind]:
            here, _, above = need.partition("|")
            if not any(entry.get(key) for key in here.split()) and not any(
                self.globals.get(key) for key in above.split()
            ):
                where = ", or a default under `global`" if above else ""
                message = f"{kind}{_SUFFIX} needs {' or '.join(here.split())}{where}"
                self.report(path, message)
                good = False
        return good

    def _look_at_http(self, part: Mapping[str, Any], path: Steps) -> bool:
        """Check the shape of what is read of `http_config`."""
        http = part.get("http_config") or {}
        at: Steps = (*path, "http_config")
        inner = [key for key in ("authorization", "basic_auth") if isinstance(http, dict) and http.get(key)]
        return self._is(http, dict, at) and all(self._is(http[key], dict, (*at, key)) for key in inner)

    def _look_at_pairs(self, part: Mapping[str, Any], path: Steps, keys: Collection[str]) -> None:
        for key in part:
            if key not in STRUCTURED and isinstance(part[key], dict | list):
                self.report((*path, key), f"{key!r} must be one value, not a mapping or a list")
                continue
            if f"{key}_file" in keys and part[key] and part.get(f"{key}_file"):
                self.report((*path, key), f"{key!r} and '{key}_file' exclude each other", hint="keep one", at_key=True)
            if key.endswith("url") and not _is_address(part[key]):
                self.report((*path, key), f"{key!r} must begin with http:// or https://")

    def _look_at_slack(self, part: Mapping[str, Any], path: Steps, prefix: str) -> None:
        address, token = (
            next((key for key in (f"{prefix}{each}", f"{prefix}{each}_file") if part.get(key)), "")
            for each in ("api_url", "app_token")
        )
        if address and token and not (prefix and part[address] == POST_MESSAGE):
            self.report((*path, token), f"{token!r} and {address!r} exclude each other", hint="keep one", at_key=True)
        if part.get("update_message") and address and part[address] != POST_MESSAGE:
            hint = f"api_url must be {POST_MESSAGE}, or left out for an app_token"
            self.report((*path, "update_message"), "a webhook cannot change a message", hint=hint, at_key=True)

    def _is(self, value: object, kind: type, path: Steps) -> bool:
        if isinstance(value, kind):
            return True
        self.report(path, f"must be {'a mapping' if kind is dict else 'a list'}")
        return False


def _look_at_keys(part: Mapping[str, Any], known: Collection[str], path: Steps, report: Report) -> None:
    for key in part:
        if key not in known:
            hint = did_you_mean(key, known) or "Alertmanager has no such key"
            report((*path, key), f"unknown key {key!r}", hint=hint, at_key=True)


def _is_address(value: object) -> bool:
    text = str(value or "")
    return not text or text == "<secret>" or "{{" in text or text.startswith(("http://", "https://", "${"))


def _plain(name: str) -> str:
    """Give a name that ours may have."""
    made = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "_" for letter in name)
    return made if made[0].isalnum() or made[0] == "_" else f"_{made}"


def _unused(name: str, taken: Collection[str]) -> str:
    made, count = name, 1
    while made in taken:
        count += 1
        made = f"{name}-{count}"
    return made
