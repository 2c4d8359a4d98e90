"""A receiver's own words: `title`, `text`, `html` and `fields` of its settings, as templates.

Every template is rendered when the settings load, against made-up messages, so that most mistakes show there. One
that fails all the same, when a message is written, loses nothing: the message goes out in the plain words, with a
note that says so. Jinja2 is loaded by the first template, so a process without one never pays for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from alerting.errors import AlertingError, TemplateError
from alerting.model import NO_TEXTS, AlertKey, Notice, Notification, Step
from alerting.net.http import revealed
from alerting.notifiers import _text as text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from alerting.model import Answer, Secret, Section

_KEYS = ("title", "text", "html")
_ALERTS = 200  # in each list that a template sees; the counts are of all
_TITLE = 1000  # characters

# What a template may name, and what a dot may follow: `docs/receivers.md` lists the same.
VARIABLES = (
    "title",
    "state",
    "reason",
    "receiver",
    "route",
    "alert",
    "alerts",
    "firing",
    "resolved",
    "firing_count",
    "resolved_count",
    "common_labels",
    "group_labels",
    "external_labels",
    "notes",
    "acknowledged",
    "urgent",
)


class Filled(NamedTuple):
    """A message, and what the templates of its receiver made of it. Empty: there is no such template, or it failed."""

    notification: Notification  # with the title of the template, and a note for each that failed
    titled: bool = False  # the title is the template's
    text: str = ""
    html: str = ""
    fields: Mapping[str, str] = NO_TEXTS
    trouble: str = ""

    def told(self, answer: Answer) -> Answer:
        """Say in an answer what was wrong with the templates."""
        return answer._replace(why=f"{answer.why}; {self.trouble}") if self.trouble else answer


class Templates:
    """The templates of one receiver; compiled with its first message, as following a secret's reference may block."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._sources = dict(_sources(values))
        self._compiled: dict[tuple[str, ...], Any] = {}

    def fill(self, notification: Notification) -> Filled:
        """Render all of them for one message. Raises nothing: what fails is left out and named in `trouble`."""
        if not self._sources:
            return Filled(notification)
        made: dict[tuple[str, ...], str] = {}
        wrong: list[str] = []
        seen: dict[str, Any] = {}
        for path, source in self._sources.items():
            try:
                seen = seen or data(notification)
                made[path] = self._rendered(path, source, seen)
            except AlertingError as error:
                wrong.append(f"the template of `{'.'.join(path)}` failed: {text.line(str(error))}")
            except Exception as error:  # noqa: BLE001  no message is lost to a template, whatever is wrong with it
                wrong.append(f"the template of `{'.'.join(path)}` failed: {type(error).__name__}")
        title = text.cut(text.line(made.get(("title",), "").strip()), _TITLE)
        return Filled(
            notification._replace(title=title or notification.title, notes=(*notification.notes, *wrong)),
            bool(title),
            text.lines(made.get(("text",), "")).strip(),
            text.lines(made.get(("html",), "")).strip(),
            {path[1]: text.lines(each).strip() for path, each in made.items() if path[0] == "fields"},
            "; ".join(wrong),
        )

    def _rendered(self, path: tuple[str, ...], source: Secret | str, seen: Mapping[str, Any]) -> str:
        from alerting.notifiers import _jinja as jinja  # noqa: PLC0415  loads Jinja2

        if path not in self._compiled:
            self._compiled[path] = jinja.compiled(revealed(source), VARIABLES, html=path == ("html",))
        return jinja.render(self._compiled[path], seen)


def problems(section: Section) -> Sequence[tuple[tuple[str, ...], str]]:
    """Say what is wrong with the templates of a section: where, and in words."""
    found = []
    for path, source in _sources(section.values):
        try:
            _try_out(revealed(source), html=path == ("html",))
        except AlertingError as error:
            found.append((path, f"this template cannot be used: {error}"))
    return found


def _try_out(source: str, *, html: bool) -> None:
    """Render a template against made-up messages. Raises TemplateError."""
    from alerting.notifiers import _jinja as jinja  # noqa: PLC0415  loads Jinja2

    template = jinja.compiled(source, VARIABLES, html=html)
    for occasion, notification in made_up().items():
        try:
            jinja.render(template, data(notification))
        except TemplateError as error:
            raise TemplateError(f"for a message about {occasion}, {error}") from None


def _sources(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Secret | str]]:
    """Give every template with its path in the section."""
    yield from (((key,), values[key]) for key in _KEYS if values.get(key))
    yield from ((("fields", name), source) for name, source in values.get("fields", {}).items())


# ------------------------------------------------------------------------------------------- what a template sees


def data(notification: Notification) -> dict[str, Any]:
    """Give what a template sees of a message: texts, numbers, lists and mappings, nothing else."""
    from alerting.notifiers._jinja import Open  # noqa: PLC0415  loads Jinja2

    notices = text.changed_first(notification)
    common: set[tuple[str, str]] = set(notices[0].labels.items()) if notices else set()
    for notice in notices[1:]:
        common &= notice.labels.items()
    values = (
        notification.title,
        text.overall(notification),
        notification.reason,
        notification.receiver,
        notification.route,
        _seen(notices[0] if notices else _BLANK, Open),
        [_seen(notice, Open) for notice in notices[:_ALERTS]],
        [_seen(notice, Open) for notice in notification.firing[:_ALERTS]],
        [_seen(notice, Open) for notice in notification.resolved[:_ALERTS]],
        len(notification.firing),
        len(notification.resolved),
        Open(sorted(common)),
        Open(notification.group_labels),
        Open(notification.external_labels),
        list(notification.notes),
        notification.acknowledged,
        notification.urgent,
    )
    return dict(zip(VARIABLES, values, strict=True))


def _seen(notice: Notice, mapping: type[dict[str, str]]) -> dict[str, Any]:
    """Give what a template sees of one alert; links are those that may be followed."""
    links = text.links(notice)
    return {
        "name": notice.name,
        "state": text.state(notice),
        "step": str(notice.step),
        "severity": notice.severity,
        "value": notice.value,
        "why": notice.why,
        "labels": mapping(notice.labels),
        "annotations": mapping(notice.annotations),
        "since": text.utc(notice.fired_at),
        "until": "" if notice.resolved_at is None else text.utc(notice.resolved_at),
        "ended": notice.ended,
        "runbook_url": links.get("runbook", ""),
        "dashboard_url": links.get("dashboard", ""),
        "acknowledged": notice.acked,
        "flapping": notice.flapping,
        "fingerprint": notice.key.fingerprint,
    }


_BLANK = Notice(AlertKey("", ""), "", Step.FIRING, "", {}, "", "", "", 0)


def made_up() -> dict[str, Notification]:
    """Give the messages that templates are tried on, by what they are about."""
    one = Notice(
        key=AlertKey("made-up", "0" * 32),
        episode="made-up",
        step=Step.FIRING,
        name="DiskSpaceLow",
        labels={"host": "web-1", "mount": "/"},
        severity="critical",
        value="91.2%",
        why='disk_usage{mount="/"} = 91.2% > 85%',
        fired_at=0,
        annotations={"summary": "The disk fills"},
        runbook_url="https://runbooks.example.org/disk",
    )
    over = one._replace(step=Step.RESOLVED, resolved_at=600_000, ended="recovered")
    blind = one._replace(labels={}, severity="", value="no data", annotations={}, runbook_url="")
    beside = one._replace(step=Step.ONGOING, labels={"host": "web-2", "mount": "/srv"}, acked="ann, until 14:05Z")

    def about(*notices: Notice) -> Notification:
        firing = tuple(each for each in notices if each.resolved_at is None)
        ended = tuple(each for each in notices if each.resolved_at is not None)
        title = f"{one.name}: {one.why}"
        labels = {"instance": "web-1"}
        return Notification("made-up", "ops", "made-up", "1 new", 0, title, firing, ended, labels)

    return {
        "one alert that fires": about(one),
        "one that is over": about(over),
        "several at once": about(one, beside, over),
        "missing data": about(blind),
    }
