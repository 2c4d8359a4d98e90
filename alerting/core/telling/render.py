"""The words of a message: the same for every receiver, which adds markup and nothing else.

A `Notice` is made once, when an alert fires, and kept: what was announced is not changed by later edits of the
rule; its resolve says the same name, labels and texts. Templates of labels and annotations see the series'
labels, the value, the reason and the external labels; what they put in is text and never read as a template. One
that fails goes out as it was written and says why it failed: no alert is lost to a template.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.core.backoff import words
from alerting.core.lang.units import format_value
from alerting.core.telling.digest import Bundle, Reason
from alerting.core.telling.newest import condition_of
from alerting.core.telling.picture import picture as drawn
from alerting.errors import ConditionError, TemplateError
from alerting.model import LOUD, Ended, Notice, Notification, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from alerting.core.telling.newest import Newest
    from alerting.core.telling.owing import Owed
    from alerting.core.telling.routing import Subject
    from alerting.model import Alert, AlertKey, Millis, Rule, RuleSpec, Value

_TITLE_ALERTS = 3  # so many reasons fit a title
_ORDER = (  # in which a title says what happened
    Step.WORSE,
    Step.RETURNED,
    Step.ESCALATED,
    Step.FLAPPING,
    Step.FIRING,
    Step.REMINDER,
    Step.BETTER,
    Step.ACKNOWLEDGED,
)


class Ending(NamedTuple):
    """How an alert ended."""

    ended: Ended
    why: str
    at: Millis


class Context(NamedTuple):
    """What templates may use besides the alert itself."""

    external_labels: Mapping[str, str] = {}
    query: Callable[[str], Iterable[tuple[Mapping[str, str], float | str]]] | None = None
    patterns: Any = None  # makes regular expressions, for `match` and `reReplaceAll`
    external_url: str = ""


def notice(alert: Alert, spec: RuleSpec, unit: str, context: Context) -> Notice:
    """Say what fires: made when it does."""
    fill = _filler(alert, context)
    labels = labels_of(alert, spec, context)
    return Notice(
        key=alert.key,
        episode=alert.episode,
        step=Step.FIRING,
        name=spec.name,
        labels=labels,
        severity=alert.level or labels.get("severity", spec.severity),  # the label's template is filled, if it is one
        value=value_text(alert.value, unit),
        why=alert.why,
        fired_at=alert.since if alert.fired_at is None else alert.fired_at,
        annotations={name: fill(text) for name, text in spec.annotations.items()},
        runbook_url=spec.runbook_url or fill(spec.annotations.get("runbook_url", "")),
    )


def labels_of(alert: Alert, spec: RuleSpec, context: Context) -> dict[str, str]:
    """Give the labels of an alert: its series', the rule's own with their templates filled, its level as severity."""
    labels = alert.labels.as_dict()
    if spec.labels:
        fill = _filler(alert, context)
        labels = {**labels, **{name: fill(text) for name, text in spec.labels.items()}}
    if alert.level:
        labels = {**labels, "severity": alert.level}
    return {name: value for name, value in labels.items() if value}


def today(subject: Subject, rule: Rule, newest: Newest, *, picture: bool) -> Notice:
    """Say what fires with the value of now, where one is known, and with its picture where wanted."""
    notice, alert = subject.notice, subject.alert
    condition = condition_of(rule, alert)
    found = newest.of(rule, alert)
    if found is not None:
        notice = notice._replace(value=value_text(found[0], condition.unit), why=found[1])
    if picture:
        notice = notice._replace(picture=drawn(condition, alert.labels, newest.samples, newest.now))
    return notice


def matching(owed: Owed, announced: Notice | None) -> Notice:
    """Give what is said of one step: in the words of the announcement, with what is new since."""
    subject = owed.subject
    alert, fresh = subject.alert, subject.notice
    base = announced or fresh
    return base._replace(
        step=owed.step,
        episode=alert.episode,
        severity=subject.severity,
        was=base.severity if owed.step in (Step.WORSE, Step.BETTER) else "",
        labels={**base.labels, "severity": alert.level} if alert.level else base.labels,
        value=fresh.value,
        why=fresh.why,
        acked=fresh.acked,
        flapping=fresh.flapping,
        picture=fresh.picture,
        before=owed.before,
    )


def over(announced: Notice, ending: Ending) -> Notice:
    """Say that what was announced is over, and in what way."""
    return announced._replace(
        step=Step.RESOLVED,
        why=ending.why,
        resolved_at=ending.at,
        ended=ending.ended,
        picture=None,
        flapping="",
        before=None,
    )


def notification(  # noqa: PLR0917  the parts of a message
    bundle: Bundle,
    notices: Mapping[AlertKey, Notice],
    endings: Mapping[AlertKey, Ending],
    now: Millis,
    external_labels: Mapping[str, str],
    notes: Sequence[str] = (),
) -> Notification:
    """Write one message. `notices` holds what was announced of every alert that was; `endings` how others ended."""
    changed = [matching(owed, notices.get(owed.key)) for owed in bundle.changed]
    ended = [over(notices.get(owed.key, owed.subject.notice), endings[owed.key]) for owed in bundle.resolved]
    ongoing = [
        notices[key]._replace(step=Step.ONGOING, picture=None, before=None) for key in bundle.ongoing if key in notices
    ]
    direction = (*bundle.changed, *bundle.resolved)[0].direction
    return Notification(
        id=bundle.id,
        receiver=bundle.receiver,
        group_key=bundle.group_key,
        reason=f"{bundle.reason} ({bundle.counts()})",
        created=now,
        title=_title(bundle, changed, ended, ongoing, now),
        firing=(*changed, *ongoing),
        resolved=tuple(ended),
        external_labels=dict(external_labels),
        loud=any(notice.step in LOUD for notice in changed),
        urgent=bundle.urgent,
        notes=tuple(notes),
        group_labels={} if bundle.storm else dict(direction.group_labels),
        route=direction.why,
    )


def value_text(value: Value, unit: str) -> str:
    """Write a value as people read it; a text stands for itself."""
    return value if isinstance(value, str) else format_value(value, unit)


def _title(
    bundle: Bundle, changed: Sequence[Notice], ended: Sequence[Notice], ongoing: Sequence[Notice], now: Millis
) -> str:
    """Say in one line what changed: `DiskSpaceLow: disk_usage{mount="/"} = 91.2% > 85%`."""
    parts = []
    for step in _ORDER:
        some = [notice for notice in changed if notice.step == step]
        if some:
            parts.append(_said(step, some, now))
    if ended:
        ways = dict.fromkeys(each.ended for each in ended)
        text = _listed(ended) if len(ended) <= _TITLE_ALERTS and not changed else f"{len(ended)}"
        parts.append(f"{' and '.join(ways)} ({text})")
    if ongoing:
        parts.append(f"{len(ongoing)} still firing")
    names = list(dict.fromkeys(each.name for each in (*changed, *ended, *ongoing)))
    name = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} other rules"
    if len(names) > 1 and bundle.storm:
        name = f"{len(changed) + len(ended) + len(ongoing)} alerts of {len(names)} rules"
    return f"{name}{' resolved' if bundle.reason is Reason.ALL_RESOLVED else ''}: {', '.join(parts)}"


def _said(step: Step, notices: Sequence[Notice], now: Millis) -> str:
    """Say what one step means, of some alerts."""
    text = _listed(notices) if len(notices) <= _TITLE_ALERTS else f"{len(notices)} alerts"
    first = notices[0]
    lasts = words(now - min(each.fired_at for each in notices))
    if step is Step.FIRING:
        return text if len(notices) <= _TITLE_ALERTS else f"{len(notices)} firing"
    if step in (Step.WORSE, Step.BETTER):
        return f"{step}, {first.severity or 'of no severity'} now ({text})"
    if step is Step.REMINDER:
        return f"still firing after {lasts} ({text})"
    if step is Step.ESCALATED:
        return f"not acknowledged for {lasts} ({text})"
    if step is Step.ACKNOWLEDGED:
        return f"acknowledged by {first.acked} ({text})"
    if step is Step.RETURNED:
        return f"no longer acknowledged ({text})"
    return f"flapping ({first.flapping or text})"


def _listed(notices: Sequence[Notice]) -> str:
    return "; ".join(dict.fromkeys(each.why for each in notices))


# ------------------------------------------------------------------------------------------- templates


def _filler(alert: Alert, context: Context) -> Callable[[str], str]:
    """Give the function that fills a text for this alert; the template engine loads with the first template."""

    def fill(text: str) -> str:
        if "{{" not in text:
            return text
        from alerting.core.gotemplate.template import TemplateData  # noqa: PLC0415  15 ms that few processes need

        external = context.external_labels
        data = TemplateData(alert.labels.as_dict(), alert.value, external, context.external_url, alert.why)
        try:
            filled: str = _compiled(text).render(data, context.query, context.patterns)
        except (TemplateError, ConditionError) as error:
            return f"{text} [this template failed: {error}]"
        except Exception:  # noqa: BLE001  a fault of ours in a template: no alert is lost to it
            return f"{text} [this template failed: a fault of alerting itself]"
        return filled

    return fill


@lru_cache(maxsize=1024)
def _compiled(text: str) -> Any:
    from alerting.core.gotemplate.template import compile_template  # noqa: PLC0415  as above

    return compile_template(text)
