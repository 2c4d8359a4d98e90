"""The rules that watch the watching: `SourceDown`, `RuleBlind`, `ReceiverDown`, `ConfigBroken`, `StateUnsaved`.

They are ordinary rules to the lifecycle, the digest and the store; only their verdicts come from what the engine
saw, not from a condition. They tell whoever the rules that cannot be judged would have told, as seriously as the
most serious of these, and end as recovered when what they complain of is well again. `ReceiverDown` tells whoever else
there is: the receiver's fallback, or all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.core.telling.routing import receivers_of
from alerting.model import NO_LABELS, RECEIVER_DOWN, RuleSpec, Truth, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from alerting.model import Alert, Gap, Labels, Millis

SOURCE_DOWN = "alerting/SourceDown/"
RULE_BLIND = "alerting/RuleBlind/"
DOWN_AFTER: Millis = 300_000  # so long a message may be tried in vain before its receiver counts as down
CONFIG_BROKEN = "alerting/ConfigBroken"
STATE_UNSAVED = "alerting/StateUnsaved"
CANARY = "alerting/Canary"  # an ordinary rule, made by alerting.selfwatch.canary; what people are shown leaves it out
_SEVERITIES = ("critical", "error", "warning", "info")
_NAMED = 5  # so many rules are named in a reason


def is_builtin(rule_id: str) -> bool:
    """Tell whether an alert belongs to one of these rules."""
    return rule_id.startswith((SOURCE_DOWN, RULE_BLIND, RECEIVER_DOWN)) or rule_id in (CONFIG_BROKEN, STATE_UNSAVED)


def source_down(source: str, after: Millis, blind: Sequence[RuleSpec], fallback: Sequence[str]) -> RuleSpec:
    """Make the rule for one source that `blind` read. It fires when the source has failed for `after`."""
    return _spec(f"{SOURCE_DOWN}{source}", "SourceDown", after, blind, fallback)


def rule_blind(spec: RuleSpec, after: Millis, fallback: Sequence[str]) -> RuleSpec:
    """Make the rule for one rule that cannot be judged for another reason than a failed source."""
    return _spec(f"{RULE_BLIND}{spec.id}", "RuleBlind", after, (spec,), fallback)


def config_broken(specs: Sequence[RuleSpec], fallback: Sequence[str]) -> RuleSpec:
    """Make the rule that says that rules or settings do not load; `specs` stay in force meanwhile."""
    return _spec(CONFIG_BROKEN, "ConfigBroken", 0, specs, fallback)


def state_unsaved(specs: Sequence[RuleSpec], fallback: Sequence[str]) -> RuleSpec:
    """Make the rule that says that the state is in memory only; `specs` are all that it is kept for."""
    return _spec(STATE_UNSAVED, "StateUnsaved", 0, specs, fallback)


def receiver_down(receiver: str, others: Sequence[str]) -> RuleSpec:
    """Make the rule for one receiver that cannot be told. It fires as soon as it is said to be down."""
    name, severity = f"{RECEIVER_DOWN}{receiver}", "error"
    return RuleSpec(name, "ReceiverDown", "", severity=severity, notify=tuple(others), vanish_after=0)


def source_verdict(rule_id: str, labels: Labels, fault: str, blind: Callable[[], Sequence[str]]) -> Verdict:
    """Judge a source by its last reading. `fault` empty: it was read. `blind` names rules, for the reason."""
    if not fault:
        return Verdict(rule_id, labels, Truth.FALSE, "read", lambda: f"{labels.get('source')} is read again")
    return Verdict(rule_id, labels, Truth.TRUE, "not read", lambda: f"{fault}{_cannot_be_judged(blind())}")


def blind_verdict(rule_id: str, labels: Labels, why: str, hidden: str) -> Verdict:
    """Judge a rule by why it could not be judged; empty: it could. `hidden`: a failed source does not let us see."""
    if not why and hidden:
        return Verdict(rule_id, labels, Truth.UNKNOWN, "unknown", lambda: hidden)
    if not why:
        return Verdict(rule_id, labels, Truth.FALSE, "judged", lambda: f"{labels.get('rule')} can be judged again")
    return Verdict(
        rule_id, labels, Truth.TRUE, "unknown", lambda: f"{labels.get('rule')} cannot be judged in full: {why}"
    )


def receiver_verdict(rule_id: str, labels: Labels, why: str) -> Verdict:
    """Judge a receiver by why it cannot be told; empty: the last message reached it."""
    name = labels.get("receiver")
    if not why:
        return Verdict(rule_id, labels, Truth.FALSE, "told", lambda: f"{name} can be told again")
    return Verdict(rule_id, labels, Truth.TRUE, "not told", lambda: f"{name} cannot be told: {why}")


def config_verdict(problem: str) -> Verdict:
    """Judge the configuration by the problem of its last loading; empty: none."""
    if not problem:
        return Verdict(CONFIG_BROKEN, NO_LABELS, Truth.FALSE, "loaded", lambda: "the configuration loads again")
    why = f"the last good rules and settings stay in force: {problem}"
    return Verdict(CONFIG_BROKEN, NO_LABELS, Truth.TRUE, "not loaded", lambda: why)


def unsaved_verdict(why: str) -> Verdict:
    """Judge the state by why it is in memory only; empty: it is on disk."""
    if not why:
        return Verdict(STATE_UNSAVED, NO_LABELS, Truth.FALSE, "saved", lambda: "the state is saved again")
    text = f"{why}; what happens meanwhile is in memory only, and lost if alerting is killed"
    return Verdict(STATE_UNSAVED, NO_LABELS, Truth.TRUE, "not saved", lambda: text)


def blindness(gaps: Sequence[Gap], overflow: str) -> str:
    """Say why a rule could not be judged, apart from failed sources (those have an alert of their own)."""
    reasons = list(dict.fromkeys(gap.why for gap in gaps if not gap.source))
    if overflow:
        reasons.append(overflow)
    if not reasons:
        return ""
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return f"{reasons[0]}{more}"


def still_meant(alert: Alert, sources: Collection[str], rules: Collection[str], receivers: Collection[str]) -> bool:
    """Tell whether what a built-in alert speaks of is still there, after a change of rules or sources."""
    rule_id = alert.key.rule_id
    if rule_id.startswith(SOURCE_DOWN):
        return alert.labels.get("source") in sources
    if rule_id.startswith(RULE_BLIND):
        return rule_id.removeprefix(RULE_BLIND) in rules
    if rule_id.startswith(RECEIVER_DOWN):
        return rule_id.removeprefix(RECEIVER_DOWN) in receivers
    return True


def _spec(rule_id: str, name: str, after: Millis, blind: Sequence[RuleSpec], fallback: Sequence[str]) -> RuleSpec:
    severities = {spec.severity or spec.labels.get("severity", "") for spec in blind}
    severity = next((each for each in _SEVERITIES if each in severities), "error")
    return RuleSpec(
        rule_id, name, "", for_=after, severity=severity, notify=receivers_of(blind, fallback), vanish_after=0
    )


def _cannot_be_judged(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"; cannot be judged meanwhile: {', '.join(names[:_NAMED])}{more}"
