"""Who is to hear of what: the first stage of telling.

Theory. Between a change of an alert and a message stand stages. Each takes what is owed and gives back fewer,
and with each that it removes a reason; none adds, none sends. `directed` makes what the others work on: one
`Owed` for each receiver of each change that people are told of.

A firing goes to each name in the rule's `notify`, or to the fallback where the rule names nobody. **A resolve
goes to whoever was told of the firing**, and to nobody else, whatever was edited since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting.model import AlertState, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from alerting.model import Alert, AlertKey, RuleSpec, Transition


class News(NamedTuple):
    """A change of an alert, with the alert as it is after it and the rule that it belongs to."""

    transition: Transition
    alert: Alert
    spec: RuleSpec


class Owed(NamedTuple):
    """One step of one alert that one receiver is to hear of."""

    news: News
    step: str  # of model.Step
    receiver: str
    why: str  # how the receiver was chosen


class Withheld(NamedTuple):
    """One step of one alert that a receiver (empty: nobody at all) does not hear of, and why."""

    key: AlertKey
    step: str
    receiver: str
    why: str


def directed(
    changes: Iterable[News], told: Mapping[AlertKey, Mapping[str, str]], fallback: Sequence[str]
) -> tuple[list[Owed], list[Withheld]]:
    """Direct each change to its receivers. `told` says who heard of the present episode of an alert."""
    owed: list[Owed] = []
    withheld: list[Withheld] = []
    for news in changes:
        transition = news.transition
        if transition.after is AlertState.FIRING:
            step, receivers, why = Step.FIRING, news.spec.notify or tuple(fallback), _chosen(news.spec, fallback)
        elif transition.after is AlertState.RESOLVED:
            step, receivers, why = Step.RESOLVED, tuple(told.get(transition.key, ())), "was told that it fired"
        else:
            continue  # pending, or a pending one that came to nothing: nobody is told
        owed.extend(Owed(news, step, receiver, why) for receiver in dict.fromkeys(receivers))
        if not receivers:
            withheld.append(Withheld(transition.key, step, "", _nobody(step)))
    return owed, withheld


def receivers_of(specs: Iterable[RuleSpec], fallback: Sequence[str]) -> tuple[str, ...]:
    """Give everybody whom these rules would tell, each once, in order."""
    return tuple(dict.fromkeys(name for spec in specs for name in (spec.notify or tuple(fallback))))


def _chosen(spec: RuleSpec, fallback: Sequence[str]) -> str:
    if spec.notify:
        return "the rule's notify"
    return "the rule names nobody: told by default" if fallback else ""


def _nobody(step: str) -> str:
    return "the rule names no receiver" if step == Step.FIRING else "nobody was told that it fired"
