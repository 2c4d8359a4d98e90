"""From the documents of rule files to rules as they were written: RuleSpecs, and where their texts stand.

Two forms. A rule by itself, in a list or under `rules:` is native. What stands under `groups:` is Prometheus' own
form: PromQL throughout, keys and defaults as there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.config import documents, placed
from alerting.config import schema as schemas
from alerting.config.durations import millis
from alerting.config.identity import Ids
from alerting.config.names import names_in
from alerting.model import Escalation, Level, OnMissing, Origin, RuleSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alerting.config.complaints import Complaint
    from alerting.config.placed import At, Document, File, Map
    from alerting.config.sections import Steps
    from alerting.core.lang.syntax.parser import Dialect
    from alerting.errors import Problem
    from alerting.model import Millis

PROMETHEUS_VANISH: Millis = 0  # there a series that is gone ends its alert at once


class Written(NamedTuple):
    """A text of a rule and where it stands."""

    text: str
    at: At


class Draft(NamedTuple):
    """A rule as it was written, and where its parts stand."""

    spec: RuleSpec
    file: File
    rule: Map
    conditions: tuple[Written, ...]  # the rule's, or those of its levels; then that of `clear`
    templates: tuple[Written, ...]  # texts that hold `{{`


class Loose(NamedTuple):
    """The condition of a rule that cannot be read for its other keys: what is wrong with it is said all the same."""

    file: File
    condition: Written
    dialect: Dialect


class Around(NamedTuple):
    """What a rule takes from the group that it stands in."""

    group: str
    interval: Millis
    labels: Mapping[str, str]
    limit: int
    query_offset: Millis


class Reader:
    """Reads rule files one after the other; what is wrong in them gathers in `problems`."""

    def __init__(self, interval: Millis) -> None:
        self.interval = interval  # of rules that do not say their own
        self.problems: list[Problem] = []
        self.loose: list[Loose] = []
        self.ids = Ids()

    def read(self, file: File, path: str) -> Iterator[Draft]:
        """Give the rules of a file, in order; `path` is the file's for identities. What is wrong is left out."""
        self.problems += file.problems
        for document in file.documents:
            other = _other(document.value)
            if other:
                self.problems.append(file.problem(f"holds {other[0]}, not rules", document.at, hint=other[1]))
                continue
            bad = frozenset() if schemas.fits("rules")(document.value) else self._complained(file, document)
            if () not in bad:
                yield from self._of_document(file, path, document.value, bad)

    def _complained(self, file: File, document: Document) -> frozenset[Steps]:
        """Report what breaks the schema; give the paths of rules, groups or the whole that cannot be read for it."""
        from alerting.config.complaints import complaints  # noqa: PLC0415  needs jsonschema: only to say what is wrong

        bad: set[Steps] = set()
        found: list[tuple[Steps, Complaint]] = []
        for top, part, pointer in _parts(document.value):
            if not schemas.fits("rules", pointer)(part):
                bad.add(top)
                self._loosen(file, part, pointer)
                if len(found) < documents.MOST_PROBLEMS:
                    found += [((*top, *each.path), each) for each in complaints(part, "rules", pointer)]
        for steps, each in found[: documents.MOST_PROBLEMS]:
            at = placed.locate(document, steps, at_key=each.at_key)
            width = len(str(steps[-1])) if steps and each.at_key else 1
            hint = each.hint or placed.comment_hint(file, document, steps)
            self.problems.append(file.problem(each.message, at, hint=hint, width=width))
        return frozenset(bad)

    def _loosen(self, file: File, rule: Any, pointer: str) -> None:
        key = next((key for key in ("condition", "expr") if isinstance(rule, placed.Map) and key in rule), "")
        if key and isinstance(rule[key], str) and rule[key].strip():
            dialect: Dialect = "prometheus" if pointer == "/$defs/groupRule" else "native"
            self.loose.append(Loose(file, Written(rule[key], rule.value_at(key)), dialect))

    def _of_document(self, file: File, path: str, value: Any, bad: frozenset[Steps]) -> Iterator[Draft]:
        if isinstance(value, dict) and "groups" in value:
            names: set[str] = set()
            for index, group in enumerate(value["groups"] or ()):
                if ("groups", index) not in bad:
                    if group["name"] in names:
                        self.problems.append(_repeated(file, group))
                    names.add(group["name"])
                    yield from self._of_group(file, path, group, {steps[3] for steps in bad if steps[1] == index})
            return
        top: Steps = ()
        if isinstance(value, dict) and "rules" in value:
            value, top = value["rules"], ("rules",)
        for index, rule in enumerate(value if isinstance(value, list) else [value]):
            if (*top, index) not in bad:
                yield self._native(file, path, rule)

    def _of_group(self, file: File, path: str, group: Map, bad: set[str | int]) -> Iterator[Draft]:
        around = Around(
            group=group["name"],
            interval=(millis(group["interval"]) if "interval" in group else 0) or self.interval,
            labels=placed.texts(file, group["labels"]) if group.get("labels") else {},
            limit=int(group.get("limit", 0)),
            query_offset=millis(group.get("query_offset", 0)),
        )
        for index, rule in enumerate(group.get("rules") or ()):
            if index not in bad:
                yield self._prometheus(file, path, rule, around)

    def _native(self, file: File, path: str, rule: Map) -> Draft:
        severity = rule.get("severity", "")
        own = placed.texts(file, rule["labels"]) if rule.get("labels") else {}
        annotations = placed.texts(file, rule["annotations"]) if rule.get("annotations") else {}
        origin = Origin(path, *placed.place(rule.at))
        levels, conditions = _levels(rule)
        clear = Written(rule["clear"], rule.value_at("clear")) if "clear" in rule else None
        spec = RuleSpec(
            id=self._declared(file, rule, origin) if "id" in rule else self.ids.made("", rule["alert"], own, origin),
            name=rule["alert"],
            condition=conditions[0].text,
            origin=origin,
            interval=millis(rule["interval"]) if "interval" in rule else self.interval,
            for_=millis(rule["for"]) if "for" in rule else 0,
            keep_firing_for=millis(rule["keep_firing_for"]) if "keep_firing_for" in rule else 0,
            on_missing=OnMissing(rule["on_missing"]) if "on_missing" in rule else OnMissing.KEEP,
            severity=severity or own.get("severity", ""),
            labels={**own, "severity": severity} if severity else own,
            annotations=annotations,
            notify=_names(rule, "notify"),
            runbook_url=rule.get("runbook_url", ""),
            enabled=rule.get("enabled", True),
            levels=levels,
            clear=clear.text if clear is not None else "",
            depends_on=_names(rule, "depends_on"),
            escalate=tuple(
                Escalation(millis(step["after"]), _names(step, "notify")) for step in rule.get("escalate", ())
            ),
            mute_time_intervals=_names(rule, "mute_time_intervals"),
            active_time_intervals=_names(rule, "active_time_intervals"),
        )
        texts = (*conditions, clear) if clear is not None else conditions
        return Draft(spec, file, rule, texts, _templates(rule, own, annotations))

    def _declared(self, file: File, rule: Map, origin: Origin) -> str:
        declared: str = rule["id"]
        other = self.ids.declared(declared, origin)
        if other is not None:
            hint = f"the rule in {other.file}, line {other.line}, has it already"
            self.problems.append(file.problem(f"id {declared!r} stands here again", rule.value_at("id"), hint=hint))
        return declared

    def _prometheus(self, file: File, path: str, rule: Map, around: Around) -> Draft:
        own = placed.texts(file, rule["labels"]) if rule.get("labels") else {}
        labels = {**around.labels, **own} if around.labels else own
        annotations = placed.texts(file, rule["annotations"]) if rule.get("annotations") else {}
        at = rule.value_at("expr")
        condition = Written(placed.written(file, rule["expr"], at), at)
        runbook = annotations.get("runbook_url", "")
        name = rule.get("alert") or rule["record"]
        origin = Origin(path, *placed.place(rule.at))
        spec = RuleSpec(
            id=self.ids.made(around.group, name, labels, origin),
            name=name,
            condition=condition.text,
            origin=origin,
            interval=around.interval,
            for_=millis(rule["for"]) if "for" in rule else 0,
            keep_firing_for=millis(rule["keep_firing_for"]) if "keep_firing_for" in rule else 0,
            vanish_after=PROMETHEUS_VANISH,
            severity=labels.get("severity", ""),
            labels=labels,
            annotations=annotations,
            runbook_url=runbook if runbook.startswith(("https://", "http://")) and "{{" not in runbook else "",
            group=around.group,
            record=rule.get("record", ""),
            limit=around.limit,
            query_offset=around.query_offset,
            dialect="prometheus",
        )
        return Draft(spec, file, rule, (condition,), _templates(rule, own, annotations))


def _other(value: Any) -> tuple[str, str] | None:
    """Tell what a document is that is no rules, and what to do with it; None: it may be meant for rules."""
    if isinstance(value, dict) and "alert" not in value:
        if "sources" in value or "receivers" in value:
            return "settings", "check them by `alerting validate --config FILE`"
        if "rule_files" in value or "tests" in value:
            return "tests", "name the file NAME.test.yaml and run them by `alerting test FILE`"
    return None


def _repeated(file: File, group: Map) -> Problem:
    hint = "group names are unique in a file"
    return file.problem(f"group {group['name']!r} stands here again", group.value_at("name"), hint=hint)


def _parts(value: Any) -> Iterator[tuple[Steps, Any, str]]:
    """Cut a document into what can be good or bad by itself: path, value, and the part of the schema it must fit.

    What holds others is given without them, so that one bad rule spoils no other, and finding what is wrong costs
    no more than the parts that are.
    """
    if isinstance(value, list):
        yield from (((index,), rule, "/$defs/rule") for index, rule in enumerate(value))
    elif isinstance(value, dict) and isinstance(value.get("groups"), list):
        yield (), {**value, "groups": []}, ""
        for index, group in enumerate(value["groups"]):
            rules = group.get("rules") if isinstance(group, dict) else None
            if isinstance(rules, list):
                yield from ((("groups", index, "rules", at), rule, "/$defs/groupRule") for at, rule in enumerate(rules))
                group = {**group, "rules": []}  # noqa: PLW2901  the same group, without what was given already
            yield ("groups", index), group, "/$defs/group"
    elif isinstance(value, dict) and isinstance(value.get("rules"), list):
        yield (), {**value, "rules": []}, ""
        yield from ((("rules", index), rule, "/$defs/rule") for index, rule in enumerate(value["rules"]))
    else:
        yield (), value, ""


def _names(mapping: Map, key: str) -> tuple[str, ...]:
    """Give the names under a key, each once; none where it is not there."""
    return tuple(dict.fromkeys(names_in(mapping[key]))) if key in mapping else ()


def _levels(rule: Map) -> tuple[tuple[Level, ...], tuple[Written, ...]]:
    """Give a rule's levels and the texts of their conditions; of a plain rule the text of its one condition."""
    if "levels" not in rule:
        key = "condition" if "condition" in rule else "expr"
        return (), (Written(rule[key], rule.value_at(key)),)
    levels: list[Level] = []
    texts: list[Written] = []
    for name, each in rule["levels"].items():
        if isinstance(each, str):
            texts.append(Written(each, rule["levels"].value_at(name)))
            levels.append(Level(name, each))
        else:
            texts.append(Written(each["condition"], each.value_at("condition")))
            levels.append(Level(name, each["condition"], _names(each, "notify")))
    return tuple(levels), tuple(texts)


def _templates(rule: Map, labels: Mapping[str, str], annotations: Mapping[str, str]) -> tuple[Written, ...]:
    return tuple(
        Written(text, rule[place].value_at(key))
        for place, texts in (("labels", labels), ("annotations", annotations))
        for key, text in texts.items()
        if "{{" in text
    )
