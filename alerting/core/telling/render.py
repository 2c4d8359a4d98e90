"""The words of a message: the same for every receiver, which adds markup and nothing else.

A `Notice` is made once, when an alert fires, and kept: what was announced is not changed by later edits of the
rule; its resolve says the same name, labels and texts. Templates of labels and annotations see the series'
labels, the value, the reason and the external labels; what they put in is text and never read as a template. One
that fails goes out as it was written and says why it failed: no alert is lost to a template.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.core.lang.units import format_value
from alerting.core.telling.digest import Bundle, Reason
from alerting.errors import ConditionError, TemplateError
from alerting.model import Ended, Notice, Notification, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from alerting.core.telling.routing import News
    from alerting.model import Alert, AlertKey, Millis, RuleSpec, Value

_TITLE_ALERTS = 3  # so many reasons fit a title


class Context(NamedTuple):
    """What templates may use besides the alert itself."""

    external_labels: Mapping[str, str] = {}
    query: Callable[[str], Iterable[tuple[Mapping[str, str], float | str]]] | None = None
    patterns: Any = None  # makes regular expressions, for `match` and `reReplaceAll`
    external_url: str = ""


def notice(alert: Alert, spec: RuleSpec, unit: str, context: Context) -> Notice:
    """Say what fires: made when it does."""
    series = alert.labels.as_dict()
    fill = _filler(alert, context)
    labels = {**series, **{name: fill(text) for name, text in spec.labels.items()}}
    return Notice(
        key=alert.key,
        episode=alert.episode,
        step=Step.FIRING,
        name=spec.name,
        labels={name: value for name, value in labels.items() if value},
        severity=spec.severity or labels.get("severity", ""),
        value=value_text(alert.value, unit),
        why=alert.why,
        fired_at=alert.since if alert.fired_at is None else alert.fired_at,
        annotations={name: fill(text) for name, text in spec.annotations.items()},
        runbook_url=spec.runbook_url or fill(spec.annotations.get("runbook_url", "")),
    )


def resolved(announced: Notice, news: News) -> Notice:
    """Say that what was announced is over, and in what way."""
    transition = news.transition
    return announced._replace(
        step=Step.RESOLVED,
        why=transition.why,
        resolved_at=news.alert.resolved_at or transition.at,
        ended=transition.ended or Ended.RECOVERED,
    )


def notification(
    bundle: Bundle, notices: Mapping[AlertKey, Notice], now: Millis, external_labels: Mapping[str, str]
) -> Notification:
    """Write one message. `notices` holds what was or is announced of every alert in the bundle."""
    firing = [notices[owed.news.alert.key] for owed in bundle.firing]
    over = [resolved(notices[owed.news.alert.key], owed.news) for owed in bundle.resolved]
    ongoing = [notices[key]._replace(step=Step.ONGOING) for key in bundle.ongoing if key in notices]
    return Notification(
        id=bundle.id,
        receiver=bundle.receiver,
        group_key=bundle.group_key,
        reason=f"{bundle.reason} ({bundle.counts()})",
        created=now,
        title=_title(bundle.reason, firing, over, ongoing),
        firing=(*firing, *ongoing),
        resolved=tuple(over),
        external_labels=dict(external_labels),
    )


def value_text(value: Value, unit: str) -> str:
    """Write a value as people read it; a text stands for itself."""
    return value if isinstance(value, str) else format_value(value, unit)


def _title(reason: Reason, firing: Sequence[Notice], over: Sequence[Notice], ongoing: Sequence[Notice]) -> str:
    """Say in one line what changed: `DiskSpaceLow: disk_usage{mount="/"} = 91.2% > 85%`."""
    parts = []
    if firing:
        parts.append(_listed(firing) if len(firing) <= _TITLE_ALERTS else f"{len(firing)} firing")
    if over:
        ways = dict.fromkeys(each.ended for each in over)
        text = _listed(over) if len(over) <= _TITLE_ALERTS and not firing else f"{len(over)}"
        parts.append(f"{' and '.join(ways)} ({text})")
    if ongoing:
        parts.append(f"{len(ongoing)} still firing")
    name = (*firing, *over, *ongoing)[0].name
    return f"{name}{' resolved' if reason is Reason.ALL_RESOLVED else ''}: {', '.join(parts)}"


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
        return filled

    return fill


@lru_cache(maxsize=1024)
def _compiled(text: str) -> Any:
    from alerting.core.gotemplate.template import compile_template  # noqa: PLC0415  as above

    return compile_template(text)
