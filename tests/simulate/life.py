"""An alert's life as docs/rules.md has it, added up: pure, and sharing nothing with `alerting.core.lifecycle`.

Where the program moves stamps, this adds up observed time. Time is a span, from what has passed at least to what has
passed at most: they differ where the wall stepped and nobody saw it. What must happen happens by the lower end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from alerting.model import OnMissing

TRUE, FALSE, UNKNOWN, VANISHED = "true", "false", "unknown", "vanished"
PERHAPS = "gone, perhaps for long enough"
FIRING, RESOLVED = "firing", "resolved"
RECOVERED, NOT_REPORTED, NO_DATA, REMOVED = "recovered", "no longer reported", "ended: no data", "rule removed"

Span = tuple[int, int]  # observed time, ms: at least, at most
NONE: Span = (0, 0)


class Policy(NamedTuple):
    """What an alert's life depends on."""

    for_: int = 0
    keep: int = 0
    on_missing: OnMissing = OnMissing.KEEP
    vanish: int = 0


@dataclass(frozen=True, slots=True)
class Life:
    """An alert that is pending or fires."""

    firing: bool
    held: Span = NONE  # pending: how long it has been true
    quiet: Span | None = None  # firing: how long it has been false
    gone: Span | None = None  # how long it has been vanished without a break
    last: str = TRUE  # what the last evaluation said of it
    no_data: bool = False  # it stands for readings that are missing

    def shaken(self) -> Life:
        """Give it as it is when its clocks may have begun anew."""
        return replace(self, held=(0, self.held[1]), quiet=self.quiet and (0, self.quiet[1]))


FIRES = Life(firing=True)  # nearly all that fires: what is true leaves it as it is


class Turned(NamedTuple):
    """An alert begins to fire, or ends; with `sure` False it may do so now or later."""

    after: str
    ended: str = ""
    sure: bool = True
    otherwise: Life | None = None  # what it is where it has not turned


class Look(NamedTuple):
    """What one evaluation says of one alert, once the rule's policy is applied."""

    said: str
    policy: Policy
    passed: Span  # observed time since the evaluation before
    gone: Span | None = None
    ended: str = RECOVERED  # what an end would be called
    missing: bool = False  # it holds for want of data


Next = tuple[Life | None, Turned | None]


def looked(truth: str, policy: Policy, life: Life | None, passed: Span, *, unseen: bool | None) -> Look:
    """Apply what the rule says of missing data. `unseen`: time went by without evaluation (None: perhaps)."""
    if truth in {TRUE, FALSE}:
        return Look(truth, policy, passed)
    if policy.on_missing is OnMissing.FIRE:
        return Look(TRUE, policy, passed, missing=True)
    if policy.on_missing is OnMissing.RESOLVE:
        return Look(FALSE, policy, passed, ended=NO_DATA)
    if truth == UNKNOWN:
        return Look(UNKNOWN, policy, passed)
    before = life.gone if life is not None and unseen is not True else None
    gone = NONE if before is None else (0 if unseen is None else before[0] + passed[0], before[1] + passed[1])
    said = FALSE if gone[0] >= policy.vanish else PERHAPS if gone[1] >= policy.vanish else UNKNOWN
    return Look(said, policy, passed, gone, ended=NOT_REPORTED)


def lived(life: Life | None, look: Look) -> Next:
    """Live on by one evaluation."""
    if life is None:
        return _begun(look) if look.said == TRUE else (None, None)
    if look.said == PERHAPS:
        still = replace(life, last=UNKNOWN, gone=look.gone)
        return ended(life, look.ended, still) if life.firing else (still, None)
    return _fired(life, look) if life.firing else _pended(life, look)


def ended(life: Life, how: str, otherwise: Life | None = None) -> Next:
    """End. Nobody hears of one that was pending. `otherwise`: it may also be this still."""
    return None, Turned(RESOLVED, how, otherwise is None, otherwise) if life.firing else None


def _begun(look: Look) -> Next:
    if look.policy.for_ <= 0:
        return _firing(no_data=look.missing), Turned(FIRING)
    return Life(firing=False, no_data=look.missing), None


def _pended(life: Life, look: Look) -> Next:
    held = _sum(life.held, look.passed) if life.last == TRUE else life.held
    if look.said == FALSE:
        return None, None
    if look.said == UNKNOWN or held[1] < look.policy.for_:
        return replace(life, held=held, last=look.said, gone=look.gone), None
    sure = held[0] >= look.policy.for_
    still = Life(firing=False, held=(held[0], min(held[1], look.policy.for_ - 1)))
    return _firing(no_data=look.missing), Turned(FIRING, "", sure, None if sure else still)


def _fired(life: Life, look: Look) -> Next:
    if look.said == TRUE:
        return _firing(no_data=life.no_data and look.missing), None
    quiet = life.quiet
    if quiet is not None and life.last == FALSE:
        quiet = _sum(quiet, look.passed)
    if look.said == UNKNOWN:
        return replace(life, quiet=quiet, last=UNKNOWN, gone=look.gone), None
    keep = look.policy.keep
    quiet = NONE if quiet is None else quiet
    if quiet[1] < keep:
        return replace(life, quiet=quiet, last=FALSE, gone=look.gone), None
    still = replace(life, quiet=(quiet[0], min(quiet[1], max(0, keep - 1))), last=FALSE, gone=look.gone)
    return ended(life, look.ended, None if quiet[0] >= keep else still)


def _firing(*, no_data: bool) -> Life:
    return Life(firing=True, no_data=True) if no_data else FIRES


def _sum(span: Span, more: Span) -> Span:
    return span[0] + more[0], span[1] + more[1]
