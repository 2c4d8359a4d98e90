"""The life of an alert: everything about states and their clocks is here, and nothing else is.

Theory. A rule's verdict about one series moves that series' alert through the table below. `advance` is pure:
the alert as it was, the verdict, the time in; the alert as it is and the transition, if any, out. When nothing
changed it gives back the very same object, so that its caller writes nothing.

**The table** (`TABLE`). The columns are what the verdict comes to once the rule's policy is applied
(`_settled`): VANISHED is unknown for `vanish_after` and false after that; `on_missing: fire` makes what is
missing true, `resolve` makes it false. Whatever ends an alert says which of these it was (`Ended`).

**Clocks.** `for` (pending, `since`), `keep_firing_for` (`quiet_since`) and `vanish_after` (`gone_since`) count
time that was *observed*: what an evaluation said holds until the next one. Two kinds of time are taken out of
the first two by moving their start on: time that was unknown (`paused_at`), and time without any evaluation
longer than `max_gap`, or negative (the wall was set back while no process ran). The third starts afresh. So
no duration is negative, a long outage of ours fires nothing, and unknown never moves an alert.

**Episodes.** An episode is one stay in `firing`. Its name is a hash of the alert's key, of `fired_at` and of the *era*:
how often stamps have gone back, so that a moment which the wall shows twice names two episodes. Within it the alert
moves between the levels of its rule: a transition from firing to firing, at once, whatever the clocks.

**Memory.** An alert carries when it began and ceased to fire within the last day: what flapping is told by. Where the
policy asks for it (`memory`) a resolved alert is kept for that, and a pending one that comes to nothing rests again.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.model import Alert, AlertKey, AlertState, Ended, Millis, OnMissing, RuleSpec, Transition, Truth, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alerting.model import Flapping

NO_DATA = "no data"  # the value of an alert that fires because readings are missing (`on_missing: fire`)
_DAY: Millis = 86_400_000  # older changes are forgotten, where flapping does not look further back
_MOST = 32  # changes of one kind that are remembered


class Policy(NamedTuple):
    """What a rule says about time and about missing data. Durations in ms."""

    for_: Millis = 0
    keep_firing_for: Millis = 0
    on_missing: OnMissing = OnMissing.KEEP
    vanish_after: Millis = 300_000
    max_gap: Millis = 60_000  # a longer time without evaluation counts as unknown
    keep_resolved: Millis = 900_000  # how long a resolved alert is kept for display
    memory: Millis = 0  # how long firings matter; 0: nobody asks


class Step(NamedTuple):
    """One step of one alert. `alert` is None when nothing is kept; the same object when nothing changed."""

    alert: Alert | None
    transition: Transition | None = None


class _Moment(NamedTuple):
    """What a move is given besides the alert."""

    verdict: Verdict
    now: Millis
    policy: Policy
    lost_from: Millis  # the time from here to now was not observed; `now`: none was lost
    gone_since: Millis | None  # since when the series is known to be gone without a break; None: it is not
    ended: Ended  # what ending would mean here
    why: Callable[[], str]
    era: int = 0  # how often stamps have gone back


def policy_of(spec: RuleSpec, max_gap: Millis, flapping: Flapping | None = None) -> Policy:
    """Take from a rule what its alerts' life depends on. `flapping`: what firings must be remembered for."""
    policy = Policy(spec.for_, spec.keep_firing_for, spec.on_missing, spec.vanish_after, max_gap)
    if flapping is not None:
        policy = policy._replace(memory=max(flapping.within, flapping.calm))
    return _shared(policy)


@lru_cache(maxsize=1024)
def _shared(policy: Policy) -> Policy:
    """Give the first of equal policies: of many rules, most have one."""
    return policy


def advance(
    alert: Alert | None, verdict: Verdict, now: Millis, policy: Policy, previous: Millis | None = None, *, era: int = 0
) -> Step:
    """Advance one alert by one verdict. `previous` is when its rule was evaluated last; None: not known."""
    truth = verdict.truth
    if alert is None:
        if truth is Truth.FALSE:
            return Step(None)
        lost_from, unseen = now, False
    else:
        if truth is Truth.TRUE and is_steady(alert, verdict.level):
            return Step(alert)
        if truth is Truth.FALSE and alert.state is AlertState.RESOLVED:  # so it is for as long as it is shown
            return _shown(alert, now, policy)
        last = _seen_at(alert) if previous is None else previous
        unseen = not 0 <= now - last <= policy.max_gap
        lost_from = alert.paused_at if alert.paused_at is not None else last if unseen else now
    keeps = policy.on_missing is OnMissing.KEEP
    gone_since = _gone_since(alert, now, unseen=unseen) if keeps and truth is Truth.VANISHED else None
    column, ended, why = _settled(verdict, now, policy, gone_since)
    moment = _Moment(verdict, now, policy, lost_from, gone_since, ended, why, era)
    state = AlertState.INACTIVE if alert is None else alert.state
    return TABLE[state][column](alert, moment)


def removed(alert: Alert, now: Millis, why: str) -> Step:
    """End an alert whose rule is no longer there. A pending one is dropped; a firing one is told."""
    if alert.state is AlertState.RESOLVED:
        return Step(None)
    verdict = Verdict(alert.key.rule_id, alert.labels, Truth.FALSE, alert.value, lambda: why)
    moment = _Moment(verdict, now, Policy(), now, None, Ended.RULE_REMOVED, verdict.why)
    return _drop(alert, moment) if alert.state is AlertState.PENDING else _resolve(alert, moment)


def rebased(alert: Alert, by: Millis) -> Alert:
    """Move the clocks that run by a step of the wall clock, so that no duration changes. Stamps stay."""
    return _with(
        alert,
        since=alert.since + by if alert.state is AlertState.PENDING else alert.since,
        quiet_since=_moved(alert.quiet_since, by),
        paused_at=_moved(alert.paused_at, by),
        gone_since=_moved(alert.gone_since, by),
    )


def is_steady(alert: Alert, level: str = "") -> bool:
    """Tell whether a verdict of true at this level would change nothing: it fires at it, and no clock runs."""
    return (
        alert.state is AlertState.FIRING
        and alert.level == level
        and alert.quiet_since is None
        and alert.paused_at is None
        and alert.gone_since is None
        and alert.value != NO_DATA
    )


def needs_previous(alert: Alert) -> bool:
    """Tell whether a clock runs, so that the time of the last evaluation must survive a restart."""
    return alert.state is AlertState.PENDING or alert.quiet_since is not None or alert.gone_since is not None


def episode_of(key: AlertKey, fired_at: Millis, era: int = 0) -> str:
    """Name an episode: 32 hex digits."""
    text = f"{len(key.rule_id)}:{key.rule_id}{key.fingerprint}@{fired_at}{f'/{era}' if era else ''}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


# ------------------------------------------------------------------------------------------- what a verdict means


def _settled(
    verdict: Verdict, now: Millis, policy: Policy, gone_since: Millis | None
) -> tuple[Truth, Ended, Callable[[], str]]:
    """Give the column of the table, what an end would mean, and the reason."""
    truth = verdict.truth
    if truth is Truth.TRUE or truth is Truth.FALSE:
        return truth, Ended.RECOVERED, verdict.why
    if policy.on_missing is OnMissing.FIRE:
        return Truth.TRUE, Ended.RECOVERED, lambda: f"no data, and on_missing is fire: {verdict.why()}"
    if policy.on_missing is OnMissing.RESOLVE:
        return Truth.FALSE, Ended.NO_DATA, verdict.why
    if gone_since is not None and now - gone_since >= policy.vanish_after:
        return Truth.FALSE, Ended.NOT_REPORTED, verdict.why
    return Truth.UNKNOWN, Ended.RECOVERED, verdict.why


def _seen_at(alert: Alert) -> Millis:
    """Give a time at which it was surely judged. Its stamp is the last resort: it does not follow the wall's steps."""
    clocks = (alert.quiet_since, alert.paused_at, alert.gone_since)
    return max((at for at in clocks if at is not None), default=alert.since)


def _gone_since(alert: Alert | None, now: Millis, *, unseen: bool) -> Millis:
    """Since when the series is known to be gone; a time without evaluation breaks it off."""
    if alert is None or alert.gone_since is None or unseen or alert.gone_since > now:
        return now
    return alert.gone_since


# ------------------------------------------------------------------------------------------- moves


def _stay_inactive(_alert: Alert | None, _moment: _Moment) -> Step:
    return Step(None)


def _begin(alert: Alert | None, moment: _Moment) -> Step:
    """Start a new life: pending, or firing at once where `for` is 0."""
    verdict, now = moment.verdict, moment.now
    key = alert.key if alert is not None else AlertKey(verdict.rule_id, verdict.labels.fingerprint)
    before = alert.state if alert is not None else AlertState.INACTIVE
    version = alert.version + 1 if alert is not None else 1
    value = _value(moment)
    new = Alert(key, verdict.labels, AlertState.PENDING, now, value, moment.why(), version=version, level=verdict.level)
    if alert is not None:
        new = new._replace(firings=alert.firings, endings=alert.endings)
    if moment.policy.for_ <= 0:
        return _fire(new, moment._replace(why=lambda: new.why), before)
    after = AlertState.PENDING
    return Step(new, Transition(key, new.labels, before, after, now, value, new.why, level=new.level))


def _wait(alert: Alert, moment: _Moment) -> Step:
    """Fire once the condition has held for `for`, at the level that it has reached by then."""
    alert = _resumed(alert, moment)
    if moment.now - alert.since >= moment.policy.for_:
        return _fire(alert, moment, AlertState.PENDING)
    return Step(_with(alert, level=moment.verdict.level))


def _fire(alert: Alert, moment: _Moment, before: AlertState) -> Step:
    now, value, why, level = moment.now, _value(moment), moment.why(), moment.verdict.level
    episode = episode_of(alert.key, now, moment.era)
    fired = Alert(
        alert.key,
        alert.labels,
        AlertState.FIRING,
        since=now,
        value=value,
        why=why,
        fired_at=now,
        episode=episode,
        # A life that begins in `firing` was never `pending` for anyone: that is one change, so one version.
        version=alert.version + 1 if before is AlertState.PENDING else alert.version,
        level=level,
        firings=_remembered(alert.firings, now, moment.policy),
        endings=alert.endings,
    )
    after = AlertState.FIRING
    return Step(fired, Transition(alert.key, alert.labels, before, after, now, value, why, episode, level=level))


def _hold(alert: Alert, moment: _Moment) -> Step:
    """Go on firing: what had begun to look like an end is forgotten, and the level is that of now."""
    now, level = moment.now, moment.verdict.level
    changes: dict[str, Any] = {"quiet_since": None, "paused_at": None, "gone_since": None}
    if level == alert.level:
        if alert.value == NO_DATA and _value(moment) != NO_DATA:  # it fired for want of data; now it has a value
            changes |= {"value": moment.verdict.value, "why": moment.why()}
        return Step(_with(alert, **changes))
    value, why = _value(moment), moment.why()
    held = _with(alert, **changes, level=level, value=value, why=why)
    firing = AlertState.FIRING
    return Step(held, Transition(alert.key, alert.labels, firing, firing, now, value, why, alert.episode, level=level))


def _quieten(alert: Alert, moment: _Moment) -> Step:
    """Resolve once the condition has been false for `keep_firing_for`."""
    alert = _resumed(alert, moment)
    quiet_since = moment.now if alert.quiet_since is None else alert.quiet_since
    if moment.now - quiet_since >= moment.policy.keep_firing_for:
        return _resolve(alert, moment)
    return Step(_with(alert, quiet_since=quiet_since))


def _resolve(alert: Alert, moment: _Moment) -> Step:
    now, value, why = moment.now, moment.verdict.value, moment.why()
    fired_at = alert.since if alert.fired_at is None else alert.fired_at
    resolved_at = max(now, fired_at)  # the wall may have been set back since
    resolved = alert._replace(
        state=AlertState.RESOLVED,
        since=now,
        value=value,
        why=why,
        resolved_at=resolved_at,
        quiet_since=None,
        paused_at=None,
        gone_since=None,
        version=alert.version + 1,
        endings=_remembered(alert.endings, resolved_at, moment.policy),
    )
    before, after = AlertState.FIRING, AlertState.RESOLVED
    return Step(
        resolved,
        Transition(alert.key, alert.labels, before, after, now, value, why, alert.episode, moment.ended, alert.level),
    )


def _drop(alert: Alert, moment: _Moment) -> Step:
    """Forget a pending alert, or have it rest again as long as its earlier firings matter."""
    before, after, now, why = AlertState.PENDING, AlertState.INACTIVE, moment.now, moment.why()
    change = Transition(alert.key, alert.labels, before, after, now, moment.verdict.value, why, ended=moment.ended)
    if not (alert.firings and alert.endings and 0 <= now - alert.endings[-1] < moment.policy.memory):
        return Step(None, change)
    fired_at, resolved_at = alert.firings[-1], alert.endings[-1]
    rests = alert._replace(
        state=AlertState.RESOLVED,
        since=resolved_at,
        value=moment.verdict.value,
        why=why,
        fired_at=fired_at,
        resolved_at=resolved_at,
        episode=episode_of(alert.key, fired_at),
        paused_at=None,
        gone_since=None,
        version=alert.version + 1,
        level="",
    )
    return Step(rests, change)


def _pause(alert: Alert, moment: _Moment) -> Step:
    """Stay as it is; the clocks stand still from the first unknown on."""
    if alert.paused_at is None or alert.paused_at > moment.now:
        return Step(_with(_resumed(alert, moment), paused_at=moment.now))
    return Step(_with(alert, gone_since=moment.gone_since))


def _show(alert: Alert, moment: _Moment) -> Step:
    return _shown(alert, moment.now, moment.policy)


def _shown(alert: Alert, now: Millis, policy: Policy) -> Step:
    """Keep a resolved alert for display, and as long as its firings matter; then drop it."""
    kept = max(policy.keep_resolved, policy.memory)
    return Step(alert if 0 <= now - alert.since < kept else None)


# What is done, by state and by what the verdict comes to. DESIGN's table of an alert's life, as data.
TABLE: Mapping[AlertState, Mapping[Truth, Callable[[Any, _Moment], Step]]] = {
    AlertState.INACTIVE: {Truth.TRUE: _begin, Truth.FALSE: _stay_inactive, Truth.UNKNOWN: _stay_inactive},
    AlertState.PENDING: {Truth.TRUE: _wait, Truth.FALSE: _drop, Truth.UNKNOWN: _pause},
    AlertState.FIRING: {Truth.TRUE: _hold, Truth.FALSE: _quieten, Truth.UNKNOWN: _pause},
    AlertState.RESOLVED: {Truth.TRUE: _begin, Truth.FALSE: _show, Truth.UNKNOWN: _show},
}


# ------------------------------------------------------------------------------------------- clocks


def _resumed(alert: Alert, moment: _Moment) -> Alert:
    """Take the time that was not observed out of the clocks that run; they go on from where they stood."""
    now, lost_from = moment.now, moment.lost_from
    if lost_from == now:
        return _with(alert, paused_at=None, gone_since=moment.gone_since)
    pending = alert.state is AlertState.PENDING
    return _with(
        alert,
        since=now - max(0, lost_from - alert.since) if pending else alert.since,
        quiet_since=None if alert.quiet_since is None else now - max(0, lost_from - alert.quiet_since),
        paused_at=None,
        gone_since=moment.gone_since,
    )


def _moved(at: Millis | None, by: Millis) -> Millis | None:
    return None if at is None else at + by


def _remembered(times: tuple[Millis, ...], now: Millis, policy: Policy) -> tuple[Millis, ...]:
    """Add a moment to those that are remembered, and forget old ones."""
    long = max(_DAY, policy.memory)
    return (*(at for at in times[1 - _MOST :] if now - at < long), now)


def _value(moment: _Moment) -> float | str:
    return moment.verdict.value if moment.verdict.truth is Truth.TRUE else NO_DATA


def _with(alert: Alert, **changes: Any) -> Alert:
    """Give a copy with `changes` and the next version; the very same object where they change nothing."""
    if all(getattr(alert, name) == value for name, value in changes.items()):
        return alert
    return alert._replace(**changes, version=alert.version + 1)
