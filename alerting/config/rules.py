"""Rule files: found, read, checked and compiled to a RuleSet. All problems of all files at once.

`load_rules` is the whole path. Where the cache knows these very files under these settings, nothing is read but
their bytes: the specs come from the cache, and only conditions are compiled. `check_rules` wants no rules, only
what is wrong with them, and keeps no more than that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.config.cache import NOTHING, Cache
from alerting.config.collector import paused
from alerting.config.names import names_in, unknown
from alerting.config.settings import LOOKBACK, Settings
from alerting.config.sheets import Sheets, read_sheets
from alerting.config.specs import problem_rows, problems_of, rows_of, specs_of
from alerting.config.vocabulary import names_of, open_names
from alerting.core.lang.condition import compile_condition
from alerting.core.lang.suggest import did_you_mean
from alerting.core.levels import Levels
from alerting.errors import ConditionError, Problem
from alerting.model import Rule, RuleSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from alerting.config.drafts import Draft, Loose, Written
    from alerting.config.placed import File, Map
    from alerting.core.lang.names import Names
    from alerting.errors import Diagnostic
    from alerting.model import Condition, Millis, Patterns


class RuleSet(NamedTuple):
    """The rules of all files, and what is wrong or odd. It is good when no problem is more than a warning."""

    rules: tuple[Rule, ...] = ()
    problems: tuple[Problem, ...] = ()
    recorded: frozenset[str] = frozenset()  # series that recording rules make

    @property
    def good(self) -> bool:
        """Tell whether the whole set loaded."""
        return all(each.warning for each in self.problems)


def load_rules(
    settings: Settings,
    names: Names | None,
    patterns: Patterns,
    *,
    files: Sequence[Path] | None = None,
    told: bool = False,
    cache: Cache = NOTHING,
) -> RuleSet:
    """Load the rules that the settings name, or just `files`. Raises nothing: problems stand in the result.

    `names` None: the settings' own vocabulary and what the rules record. For `files` names are open, and receivers
    and windows are not looked up, unless they are to be `told`.
    """
    found = read_sheets(settings, files)
    with paused():
        kept = cache.get(found.place, found.key) if names is None and not found.problems else None
        again = kept and _from_cache(kept, settings, patterns, files)
        if again:
            return again
        made = _Loading(settings, names, patterns, files, told=told).run(found)
        if names is None and made.good:
            specs = list(rows_of(rule.spec for rule in made.rules))
            cache.put(found.place, found.key, {"specs": specs, "warnings": problem_rows(made.problems)})
    return made


def check_rules(
    settings: Settings, patterns: Patterns, *, files: Sequence[Path] | None = None, cache: Cache = NOTHING
) -> list[Problem]:
    """Give what is wrong or odd in the rules that `load_rules` would load."""
    found = read_sheets(settings, files)
    verdict = f"verdict-{found.place}"
    kept = None if found.problems else cache.get(verdict, found.key)
    if kept is not None:  # these very files were found good, with these warnings
        return problems_of(kept)
    with paused():
        made = _Loading(settings, None, patterns, files).run(found)
    if made.good:
        cache.put(verdict, found.key, problem_rows(made.problems))
    return list(made.problems)


def vocabulary(settings: Settings, files: Sequence[Path] | None, recorded: Iterable[str]) -> Names:
    """Give the names that rules may use: the settings' own, or open ones for files checked by themselves."""
    return (names_of if files is None else open_names)(settings, frozenset(recorded))


def recorded_by(specs: Iterable[RuleSpec]) -> frozenset[str]:
    """Give the names of the series that rules record."""
    return frozenset(spec.record for spec in specs if spec.record)


def _from_cache(kept: Any, settings: Settings, patterns: Patterns, files: Sequence[Path] | None) -> RuleSet | None:
    """Compile what the cache kept; None where that does not go, whatever the reason."""
    try:
        specs, warnings = specs_of(kept["specs"]), problems_of(kept["warnings"])
        recorded = recorded_by(specs)
        names = vocabulary(settings, files, recorded)
        rules = tuple(compiled(spec, names, patterns, settings.lookback)[0] for spec in specs)
    except (ConditionError, TypeError, KeyError, ValueError):
        return None
    return RuleSet(rules, tuple(warnings), recorded)


def compiled(
    spec: RuleSpec, names: Names, patterns: Patterns, lookback: Millis = LOOKBACK
) -> tuple[Rule, Sequence[Diagnostic]]:
    """Compile a rule's conditions; their warnings beside it. Raises ConditionError."""
    made = [_condition(text, spec, names, patterns, lookback) for text in spec.conditions]
    return assembled(spec, [each for each, _ in made]), [each for _, warnings in made for each in warnings]


def assembled(spec: RuleSpec, conditions: Sequence[Condition]) -> Rule:
    """Make a rule of its conditions: its own, or those of its levels; then that of `clear`."""
    clear = conditions[-1] if spec.clear else None
    if not spec.levels:
        return Rule(spec, conditions[0], clear=clear)
    levels = tuple(conditions[: len(spec.levels)])
    return Rule(spec, Levels([level.name for level in spec.levels], levels), levels, clear)


def _condition(
    text: str, spec: RuleSpec, names: Names, patterns: Patterns, lookback: Millis
) -> tuple[Condition, Sequence[Diagnostic]]:
    return compile_condition(
        text,
        names,
        patterns,
        dialect=spec.dialect,
        interval=spec.interval,
        lookback=lookback,
        purpose="record" if spec.record else "alert",
    )


class _Loading:
    """One loading of rule files from their text, collecting problems."""

    def __init__(
        self,
        settings: Settings,
        names: Names | None,
        patterns: Patterns,
        files: Sequence[Path] | None,
        *,
        told: bool = False,
    ) -> None:
        self.told = settings.configured and (files is None or told)
        self.settings = settings
        self.names = names
        self.patterns = patterns
        self.files = files
        self.problems: list[Problem] = []
        self.loose: Sequence[Loose] = ()
        self.templates: dict[str, Any] = {}  # text -> what is wrong with it

    def run(self, found: Sheets) -> RuleSet:
        """Read, check and compile all sheets."""
        drafts = self._drafts(found)
        if any(draft.spec.depends_on for draft in drafts):
            from alerting.config import relations  # noqa: PLC0415  few sets of rules have dependencies

            whole = self.files is None and all(each.warning for each in self.problems)
            self.problems += relations.between(drafts, whole=whole)
        recorded = recorded_by(draft.spec for draft in drafts)
        names = self.names or vocabulary(self.settings, self.files, recorded)
        rules = []
        drafts.reverse()
        while drafts:  # each goes as its rule comes, and a file with its last one: both together would be large
            rule = self._rule(drafts.pop(), names)
            if rule is not None:
                rules.append(rule)
        for each in self.loose:
            self._look_at_condition(each, names)
        if self.settings.route and self.settings.route.routes and self.files is None:
            self._look_at_severities(rules)
        if self.files is None and any(need.window for rule in rules for need in rule.needs):
            from alerting.config.paces import too_seldom  # noqa: PLC0415  only where rules look back

            self.problems += too_seldom(rules, self.settings.lookback)
        order = {sheet.name: index for index, sheet in enumerate(found.sheets)}
        problems = sorted(self.problems, key=lambda each: (order.get(each.file, -1), each.line, each.column))
        return RuleSet(tuple(rules), tuple(problems), recorded)

    def _drafts(self, found: Sheets) -> list[Draft]:
        from alerting.config import documents, drafts  # noqa: PLC0415  PyYAML: not where the cache knows the files

        reader = drafts.Reader(self.settings.interval)
        made = [
            draft
            for sheet in found.sheets
            for draft in reader.read(documents.parse(sheet.data, sheet.name), sheet.path)
        ]
        self.problems += (*found.problems, *reader.problems)
        self.loose = reader.loose
        return made

    def _rule(self, draft: Draft, names: Names) -> Rule | None:
        if self.told:
            self._look_at_receivers(draft)
            self._look_at_windows(draft)
        for text in draft.templates:
            self._look_at_template(draft, text)
        conditions = []
        for each in draft.conditions:
            try:
                condition, diagnostics = _condition(each.text, draft.spec, names, self.patterns, self.settings.lookback)
                conditions.append(condition)
            except ConditionError as error:
                diagnostics = error.diagnostics
            if diagnostics:
                self._report(draft.file, each, diagnostics)
        if len(conditions) < len(draft.conditions):
            return None
        rule = assembled(_told(draft.spec, self.settings.teams), conditions)
        if rule.levels or rule.clear or draft.spec.escalate:
            from alerting.config import relations  # noqa: PLC0415  few rules have such parts

            self.problems += relations.within(draft, rule, names, self.patterns)
        return rule

    def _look_at_condition(self, loose: Loose, names: Names) -> None:
        try:
            compile_condition(loose.condition.text, names, self.patterns, dialect=loose.dialect)
        except ConditionError as error:
            self._report(loose.file, loose.condition, error.diagnostics)

    def _report(self, file: File, text: Written, diagnostics: Iterable[Diagnostic]) -> None:
        from alerting.config.spots import problem_of  # noqa: PLC0415  only where something is wrong

        self.problems += [problem_of(file, text.at, text.text, each) for each in diagnostics]

    def _look_at_template(self, draft: Draft, text: Written) -> None:
        if text.text not in self.templates:
            from alerting.core.gotemplate.template import compile_template  # noqa: PLC0415  15 ms: only where there is one

            try:
                failed = compile_template(text.text).rehearse({}, self.patterns)
                self.templates[text.text] = failed
            except ConditionError as error:
                self.templates[text.text] = error.diagnostics
        found = self.templates[text.text]
        if isinstance(found, str) and found:
            message = f"this template fails for a made-up alert: {found}"
            self.problems.append(draft.file.problem(message, text.at, warning=True))
        elif found:
            self._report(draft.file, text, found)

    def _look_at_receivers(self, draft: Draft) -> None:
        spec, receivers = draft.spec, self.settings.receivers
        named = spec.notify or any(level.notify for level in spec.levels)
        if not (named or spec.record or self.settings.route):
            hint = "write `notify:` with a receiver, or `route: {receiver: …}` into the settings"
            if spec.dialect == "prometheus":
                hint = "Prometheus' files name no receiver: write `route: {receiver: …}` into the settings"
            self.problems.append(draft.file.problem(f"{spec.name} tells nobody", draft.rule.at, hint=hint))
        for mapping in _tellers(draft.rule):
            for name in names_in(mapping["notify"]):
                if name not in receivers and name not in self.settings.teams:
                    from alerting.config.spots import spot_of_name  # noqa: PLC0415  only where something is wrong

                    hint = unknown(name, "receivers", receivers)
                    at = spot_of_name(draft.file, mapping, "notify", name)
                    self.problems.append(draft.file.problem(f"no receiver {name!r}", at, hint=hint, width=len(name)))

    def _look_at_windows(self, draft: Draft) -> None:
        for key in ("mute_time_intervals", "active_time_intervals"):
            for name in names_in(draft.rule.get(key, ())):
                if name not in self.settings.intervals:
                    from alerting.config.spots import spot_of_name  # noqa: PLC0415  only where something is wrong

                    near = did_you_mean(name, self.settings.intervals)
                    at = spot_of_name(draft.file, draft.rule, key, name)
                    hint = near or "windows stand under `time_intervals:` in the settings"
                    self.problems.append(draft.file.problem(f"no window {name!r}", at, hint=hint, width=len(name)))

    def _look_at_severities(self, rules: Sequence[Rule]) -> None:
        """Warn of routes for severities that no rule has; a series may bring its own, so that is no error."""
        from alerting.config.deadends import unused_severities  # noqa: PLC0415  few settings have a tree

        for origin, message in unused_severities(self.settings.route, [rule.spec for rule in rules]):
            self.problems.append(Problem(message, *origin, warning=True))


def _told(spec: RuleSpec, teams: Mapping[str, Sequence[str]]) -> RuleSpec:
    """Put receivers in the place of names that stand for several."""
    if not teams:
        return spec

    def members(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(member for name in names for member in teams.get(name, (name,))))

    return spec._replace(
        notify=members(spec.notify),
        levels=tuple(each._replace(notify=members(each.notify)) for each in spec.levels),
        escalate=tuple(each._replace(notify=members(each.notify)) for each in spec.escalate),
    )


def _tellers(rule: Map) -> Iterator[Map]:
    """Give each mapping of a rule that has a `notify`: the rule, its levels, the steps of its escalation."""
    for part in (rule, *rule.get("levels", {}).values(), *rule.get("escalate", ())):
        if not isinstance(part, str) and "notify" in part:
            yield part
