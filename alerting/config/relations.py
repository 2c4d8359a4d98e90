"""What the parts of a rule, and rules among each other, must agree on: levels, `clear`, escalation, dependencies.

Errors only where it is proved that a rule cannot do what it says; what nobody can tell is taken as it is.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from alerting.config.names import unknown
from alerting.config.spots import spot_of_name
from alerting.core.lang.bounds import bound_of, includes, shared
from alerting.core.lang.checking.operators import NEVER
from alerting.core.lang.condition import compile_condition
from alerting.core.lang.suggest import did_you_mean
from alerting.core.lang.units import format_value
from alerting.errors import ConditionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from alerting.config.drafts import Draft
    from alerting.core.lang.names import Names
    from alerting.errors import Problem
    from alerting.model import Patterns, Rule

SEVERITIES = ("info", "warning", "error", "critical")  # from the least grave


def within(draft: Draft, rule: Rule, names: Names, patterns: Patterns) -> list[Problem]:
    """Give what does not fit together within one rule."""
    return [*_levels(draft, rule), *_clear(draft, rule, names, patterns), *_escalation(draft)]


def between(drafts: Sequence[Draft], *, whole: bool) -> list[Problem]:
    """Give what is wrong with `depends_on`. `whole`: these are all rules, so that a name must be among them."""
    alerting = [draft for draft in drafts if not draft.spec.record]
    enabled: dict[str, bool] = {}
    for draft in alerting:
        enabled[draft.spec.name] = enabled.get(draft.spec.name, False) or draft.spec.enabled
    problems = [each for draft in alerting for each in _dependencies(draft, enabled, whole=whole)]
    return [*problems, *_circles(alerting)]


def _levels(draft: Draft, rule: Rule) -> Iterator[Problem]:
    if not rule.levels:
        return
    file, written = draft.file, draft.rule["levels"]
    names = list(written)
    for name in names:
        if name not in SEVERITIES:
            message = f"level {name!r} is none of {', '.join(SEVERITIES)}"
            hint = did_you_mean(name, SEVERITIES) or "receivers treat it as any severity that they do not know"
            yield file.problem(message, written.key_at(name), hint=hint, width=len(name), warning=True)
    for before, name in pairwise(each for each in names if each in SEVERITIES):
        if SEVERITIES.index(name) < SEVERITIES.index(before):
            hint = "write levels from the least grave to the gravest"
            yield file.problem(f"{name} stands behind {before}", written.key_at(name), hint=hint, width=len(name))
            return
    bounds = [bound_of(each) for each in rule.levels]
    for index, (before, name) in enumerate(pairwise(names)):
        if includes(bounds[index + 1], bounds[index]):
            message = f"{name} holds wherever {before} does, so that the alert is never at {before}"
            hint = "each level must be stricter than the one before it"
            yield file.problem(message, draft.conditions[index + 1].at, hint=hint)


def _clear(draft: Draft, rule: Rule, names: Names, patterns: Patterns) -> Iterator[Problem]:
    if rule.clear is None:
        return
    at, clear = draft.conditions[-1].at, bound_of(rule.clear)
    for condition, written in zip(rule.levels or (rule.condition,), draft.conditions, strict=False):
        if _never_both(written.text, rule.spec.clear, names, patterns):
            message = "this never clears an alert: its series have other labels than those of the condition"
            yield draft.file.problem(message, at, hint="write it on the same series, or aggregate both alike")
            return
        value = shared(clear, bound_of(condition))
        if value is not None:
            message = f"this can hold while the condition does, as at {format_value(value, rule.clear.unit)}"
            hint = "write what holds only once it is well over, as `clear: x < 80` for `condition: x > 85`"
            yield draft.file.problem(message, at, hint=hint, warning=True)
            return


def _never_both(one: str, other: str, names: Names, patterns: Patterns) -> bool:
    """Tell whether two sound conditions can have no series in common: `and` between them is refused then."""
    try:
        compile_condition(f"({one}\n) and ({other}\n)", names, patterns)
    except ConditionError as error:
        return any(each.message.startswith(NEVER) for each in error.diagnostics)
    return False


def _escalation(draft: Draft) -> Iterator[Problem]:
    steps = draft.rule.get("escalate", ())
    for (before, step), written in zip(pairwise(draft.spec.escalate), steps[1:], strict=True):
        if step.after <= before.after:
            message = f"{written['after']} is not later than the step before it"
            hint = "write steps in the order of time; one step may name several receivers"
            yield draft.file.problem(message, written.value_at("after"), hint=hint)


def _dependencies(draft: Draft, enabled: Mapping[str, bool], *, whole: bool) -> Iterator[Problem]:
    for name in draft.spec.depends_on:
        message, hint, warning = "", "", False
        if name == draft.spec.name:
            message, hint = f"{name} depends on itself", "name another rule"
        elif name not in enabled and whole:
            message, hint = f"no rule {name!r}", unknown(name, "rules", enabled)
        elif not enabled.get(name, True):
            message, hint, warning = f"{name} is disabled, so that it never fires", "", True
        if message:
            at = spot_of_name(draft.file, draft.rule, "depends_on", name)
            yield draft.file.problem(message, at, hint=hint, width=len(name), warning=warning)


def _circles(drafts: Sequence[Draft]) -> Iterator[Problem]:
    """Find rules that depend on themselves by way of others."""
    needs: dict[str, dict[str, Draft]] = {}
    for draft in drafts:
        for name in draft.spec.depends_on:
            needs.setdefault(draft.spec.name, {}).setdefault(name, draft)
    for circle in _closed(needs):
        first, second = circle[:2]
        draft = needs[first][second]
        message = f"{first} depends on itself: {' -> '.join((*circle, first))}"
        at = spot_of_name(draft.file, draft.rule, "depends_on", second)
        hint = "while all of them fire, nobody would be told"
        yield draft.file.problem(message, at, hint=hint, width=len(second))


def _closed(needs: Mapping[str, Mapping[str, object]]) -> Iterator[list[str]]:
    """Give ways that lead back to where they begin, of two steps or more; going down each dependency once."""
    done: set[str] = set()
    for start in needs:
        way = {start: iter(needs[start])} if start not in done else {}
        while way:
            name = next(reversed(way))
            other = next(way[name], None)
            if other is None:
                done.add(way.popitem()[0])
            elif other in way and other != name:
                names = list(way)
                yield names[names.index(other) :]
            elif other not in way and other not in done:
                way[other] = iter(needs.get(other, {}))
