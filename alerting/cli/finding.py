"""Which alert somebody means: by its rule's name or id, with labels where there are several, or by its fingerprint."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerting.cli.terminal import clean
from alerting.config.matchers import parse_matchers
from alerting.core.lang.suggest import did_you_mean
from alerting.core.telling.matchers import Matchers, written
from alerting.errors import AlertingError, ConditionError
from alerting.model import AlertKey, AlertState, Labels
from alerting.patterns import compile_pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from alerting.cli.state import Seen
    from alerting.model import Alert, Matcher, RuleSpec, Transition

FORMS = "a rule's name, NAME{label=\"value\"}, a rule's id, or the beginning of a fingerprint"
_SHORTEST = 4  # characters of a fingerprint
_SHOWN = 20  # candidates that a message names


class Meant(NamedTuple):
    """An alert that the state knows, or has known."""

    key: AlertKey
    name: str
    series: Labels
    labels: Mapping[str, str]  # the series' and those of messages
    alert: Alert | None = None  # None: it is inactive

    @property
    def state(self) -> AlertState:
        """Its state now."""
        return AlertState.INACTIVE if self.alert is None else self.alert.state

    @property
    def active(self) -> bool:
        """Tell whether it is pending or firing."""
        return self.state in (AlertState.PENDING, AlertState.FIRING)

    def __str__(self) -> str:
        """Write it so that it can be given back: name and series."""
        return clean(f"{self.name}{self.series}")


def candidates(seen: Seen, past: Iterable[Transition] = ()) -> list[Meant]:
    """Give every alert that is kept, and those of which only transitions are left."""
    found = {
        alert.key: Meant(alert.key, seen.name(alert.key), alert.labels, seen.labels(alert), alert)
        for alert in seen.snapshot.alerts
    }
    for each in past:
        if each.key not in found:
            found[each.key] = Meant(each.key, seen.name(each.key), each.labels, each.labels.as_dict())
    return list(found.values())


def meant(text: str, alerts: Sequence[Meant], specs: Mapping[str, RuleSpec]) -> list[Meant]:
    """Find what somebody means. Raises AlertingError where nothing has that name; empty: the rule has no such alert."""
    name, brace, inside = text.strip().partition("{")
    name = name.strip()
    if not name and not brace:
        raise AlertingError(f"the name of the alert is empty; an alert is named by {FORMS}")
    labels = None
    if brace:
        if not inside.rstrip().endswith("}"):
            raise AlertingError(f"{clean(text)!r} lacks its closing brace")
        labels = compiled(matchers_in(inside.rstrip()[:-1]))
    found = [each for each in alerts if name in ("", each.name, each.key.rule_id)]
    if not found and labels is None and len(name) >= _SHORTEST:
        found = [each for each in alerts if each.key.fingerprint.startswith(name.lower())]
    if not found and not rules(name, specs):
        known = {*(each.name for each in alerts), *(spec.name for spec in specs.values() if not spec.record)}
        hint = did_you_mean(name, known) or f"an alert is named by {FORMS}"
        raise AlertingError(f"no rule and no alert is called {clean(name)!r}; {hint}")
    return [each for each in found if labels is None or labels.fits({**each.labels, **each.series.as_dict()})]


def matchers_in(text: str) -> tuple[Matcher, ...]:
    """Read matchers. Raises AlertingError that points at what is wrong."""
    try:
        return parse_matchers(text)
    except ConditionError as error:
        wrong = next(each for each in error.diagnostics if not each.warning)
        width = max(1, wrong.span.end - wrong.span.start)
        raise AlertingError(f"{wrong.message}\n    {clean(text)}\n    {' ' * wrong.span.start}{'^' * width}") from None


def compiled(matchers: Sequence[Matcher]) -> Matchers:
    """Compile matchers. Raises AlertingError for a pattern that is none."""
    for each in matchers:
        try:
            Matchers([each], compile_pattern)
        except ValueError as error:
            raise AlertingError(f"the pattern in {clean(written([each]))} is not valid: {error}") from None
    return Matchers(matchers, compile_pattern)


def rules(name: str, specs: Mapping[str, RuleSpec]) -> list[RuleSpec]:
    """Give the alerting rules of a name or id."""
    return [spec for spec in specs.values() if name in (spec.name, spec.id) and not spec.record]


def one(text: str, found: Sequence[Meant]) -> Meant:
    """Give the only one that is meant, an active one before others. Raises AlertingError that lists them."""
    for chosen in ([each for each in found if each.active], found):
        if len(chosen) == 1:
            return chosen[0]
        if len(chosen) > 1:
            raise AlertingError(ambiguous(text, chosen))
    raise AlertingError(f"{clean(text)} has no alert now, and had none lately")


def ambiguous(text: str, found: Sequence[Meant]) -> str:
    """Say which alerts may be meant, each as it can be given back."""
    many = sorted(found, key=lambda each: (each.name, each.series.pairs))
    lines = [f"  {each}  ({each.state}; {each.key.fingerprint[:8]})" for each in many[:_SHOWN]]
    more = [f"  and {len(many) - _SHOWN} more"] if len(many) > _SHOWN else []
    return "\n".join([f"{clean(text)} may be one of {len(many)} alerts; name the one by its labels:", *lines, *more])
