"""Settings that are edited while the program runs: routes, inhibitions, windows, fallbacks, and whom rules name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulate.people import RECEIVERS, escalation, fallbacks, inhibitions, tree, windows

if TYPE_CHECKING:
    from tests.simulate.dice import Dice
    from tests.simulate.people import People
    from tests.simulate.plan import RuleDef


def retuned(people: People, rules: tuple[RuleDef, ...], dice: Dice) -> tuple[People, tuple[RuleDef, ...]]:
    """Draw one edit of the settings, or of what a rule says of people."""
    what = dice.random()
    if what < 0.35:
        return people._replace(route=tree(dice)), rules
    if what < 0.5:
        return people._replace(inhibitions=inhibitions(dice)), rules
    if what < 0.65:
        return people._replace(windows=windows(dice)), rules
    if what < 0.75:
        return people._replace(fallback=fallbacks(dice)), rules
    place = dice.whole(0, len(rules))
    return people, (*rules[:place], _said(rules[place], dice), *rules[place + 1 :])


def _said(rule: RuleDef, dice: Dice) -> RuleDef:
    """Draw what a rule says of people from now on. Its labels stay: what was announced keeps its own."""
    what = dice.random()
    if what < 0.4:
        return rule._replace(notify=() if rule.notify and dice.chance(0.6) else dice.some(RECEIVERS))
    if what < 0.7:
        return rule._replace(escalate=() if rule.escalate and dice.chance(0.4) else escalation(dice))
    return rule._replace(muted=() if rule.muted else ("nights",), active=())
