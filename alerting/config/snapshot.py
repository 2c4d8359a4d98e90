"""The last good set of rules as text, for the store: it stays in force while the files are broken."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from alerting.config.rules import RuleSet, compiled, recorded_by
from alerting.config.specs import rows_of, specs_of
from alerting.errors import ConditionError, Problem

if TYPE_CHECKING:
    from alerting.config.settings import Settings
    from alerting.core.lang.names import Names
    from alerting.ports import Patterns

_FORM = 1


def dump_good(settings: Settings, ruleset: RuleSet) -> str:
    """Give a good set as text. Rules only: settings may hold secrets, and what is there now names the store."""
    rows = rows_of(rule.spec for rule in ruleset.rules)
    return json.dumps({"form": _FORM, "rules": rows}, separators=(",", ":"))


def load_good(text: str, names: Names, patterns: Patterns) -> RuleSet:
    """Compile a set again that `dump_good` gave. A rule that does not go with `names` any more is a problem."""
    try:
        kept = json.loads(text)
        if kept["form"] != _FORM:
            return RuleSet(problems=(Problem("the last good set of rules was kept by another release"),))
        specs = specs_of(kept["rules"])
    except (TypeError, KeyError, ValueError):
        return RuleSet(problems=(Problem("the last good set of rules cannot be read"),))
    rules, problems = [], []
    for spec in specs:
        try:
            rules.append(compiled(spec, names, patterns)[0])
        except ConditionError as error:
            problems.append(Problem(f"{spec.name}: {error}", spec.origin.file, spec.origin.line, spec.origin.column))
    return RuleSet(tuple(rules), tuple(problems), recorded_by(specs))
