"""F57: templates pick and arrange what they are given; they can do nothing else, and lose no message."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import alerting
from alerting.config.settings import load_settings
from alerting.errors import AlertingError, ConfigError, TemplateError
from alerting.model import Outcome, Secret, Section
from alerting.notifiers import _jinja as jinja
from alerting.notifiers._templates import VARIABLES, Templates, data, made_up, problems
from alerting.registry import kinds
from tests.fakes.pagerduty import PagerDuty
from tests.fakes.sink import Sink
from tests.notifiers.desk import AT, attempt, notice, telling

if TYPE_CHECKING:
    from collections.abc import Callable

    from alerting.model import Notification
    from tests.figures import Figure

RESOLVED = notice(resolved_at=AT, ended="recovered", labels={"mount": "/srv"})


def rendered(source: str, notification: Notification | None = None, *, html: bool = False) -> str:
    """What a template makes of a message."""
    template = jinja.compiled(source, VARIABLES, html=html)
    return jinja.render(template, data(notification or telling()))


def said(call: Callable[[], str]) -> str:
    """What comes out, or what is said instead."""
    try:
        return call()
    except TemplateError as error:
        return str(error)


GOOD = [
    ("{{ alert.name }} is {{ state }}", "DiskSpaceLow is FIRING"),
    ("{{ alert.labels.mount }}{{ alert.labels['mount'] }}", "//"),
    ("{{ alert.labels.nobody }}|{{ alert.annotations.nothing }}", "|"),  # labels are open: absent is empty
    ("{{ alert.labels.team|default('nobody') }}", "nobody"),
    ("{% if alert.labels.team %}x{% else %}y{% endif %}", "y"),
    (
        "{% for each in alerts %}{{ loop.index }}:{{ each.state }}{% if not loop.last %}, {% endif %}{% endfor %}",
        "1:FIRING",
    ),
    ("{% for name, value in alert.labels|items %}{{ name }}={{ value }}{% endfor %}", "mount=/"),
    ("{{ alerts|join(', ', 'name') }}", "DiskSpaceLow"),
    ("{{ alert.severity|upper }} {{ 'X y'|lower }} {{ ' a '|trim }} {{ 'ab c'|capitalize }}", "CRITICAL x y a Ab c"),
    ("{{ 'abcdef'|truncate(4) }}", "abc…"),
    ("{{ 'a-b'|replace('-', '+') }}{{ 'a b/ü'|urlencode }}", "a+ba%20b%2F%C3%BC"),
    (
        "{{ firing_count }} {{ alerts|length }} {{ (alerts|first).name }} {{ (alerts|last).name }}",
        "1 1 DiskSpaceLow DiskSpaceLow",
    ),
    ("{{ 'many' if firing_count > 1 else 'one' }}", "one"),
    ("{{ common_labels.mount }} {{ external_labels.instance }} {{ receiver }}", "/ web-1 ops"),
    ("{% for each in alerts if each.severity == 'critical' %}{{ each.value }}{% endfor %}", "91.2%"),
    ("{% for each in resolved %}x{% else %}none{% endfor %}", "none"),
    ("{{ alerts[:1]|length }}{{ alerts[0].since }}", "12025-11-24 15:55:00Z"),
    ("{% raw %}{{ alert }}{% endraw %}{# a comment #}", "{{ alert }}"),
    ("{{ alert.runbook_url }}", "https://runbooks.example.org/disk"),
    ("no braces at all", "no braces at all"),
]


@pytest.mark.parametrize(("source", "expected"), GOOD)
def test_what_templates_are_for(source: str, expected: str) -> None:
    """Variables, keys, loops, conditions and the filters of the list."""
    assert rendered(source) == expected


REFUSED = [  # at load; each would be the beginning of something worse
    "{{ alert.name.upper() }}",
    "{{ ''.__class__.__mro__ }}",
    "{{ alert.__class__ }}",
    "{{ alert['__class__'] }}",
    "{{ alerts.append }}",
    "{{ alert.labels.items() }}",
    "{{ alert|attr('__class__') }}",
    "{{ self }}",
    "{{ self.__init__.__globals__ }}",
    "{{ config }}",
    "{{ request }}",
    "{{ cycler }}",
    "{{ lipsum }}",
    "{{ namespace(x=1) }}",
    "{{ joiner }}",
    "{{ dict(x=1) }}",
    "{{ range(1000000000) }}",
    "{{ _budget }}",
    "{{ alerts|_counted(1) }}",
    "{{ 'x' * 1000000000 }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%s'|format('x') }}",
    "{{ 'x'|center(1000000000) }}",
    "{{ 'x'|indent(1000000000) }}",
    "{{ [1, 2] }}",
    "{{ {'a': 1} }}",
    "{{ title ~ title }}",
    "{{ title + title }}",
    "{{ title is defined }}",
    "{{ 'x'|safe }}",
    "{{ '<b>'|e }}",
    "{{ alerts|map('upper') }}",
    "{{ alerts|tojson }}",
    "{{ alerts|xmlattr }}",
    "{{ alerts|sort }}",
    "{% set x = title %}",
    "{% set ns.x = 1 %}",
    "{% macro m() %}{{ m() }}{% endmacro %}",
    "{% call alert() %}{% endcall %}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% from 'os' import system %}",
    "{% extends 'x' %}",
    "{% block b %}{% endblock %}",
    "{% filter upper %}x{% endfilter %}",
    "{% with x = 1 %}{% endwith %}",
    "{% autoescape false %}{% endautoescape %}",
    "{% do alerts %}",
    "{% for x in alerts recursive %}{{ loop(x) }}{% endfor %}",
    "{% for loop in alerts %}{% endfor %}",
    "{% for _budget in alerts %}{% endfor %}",
    "{% for alert.name in alerts %}{% endfor %}",
    "{% for x in alerts %}{{ loop.cycle }}{% endfor %}",
    "{% for x in alerts %}{{ loop.nextitem }}{% endfor %}",
    "{% for x in alerts %}{% endfor %}{{ x }}",
    "{% for x in alerts %}{{ loop }}{% endfor %}",
    "{{ alert }}",
    "{{ alerts }}",
    "{{ alert.labels }}",
    "{{ alert.nmae }}",
    "{{ alrt.name }}",
    "{{ alert.severity|uper }}",
    "{{ alerts[99].name }}",
    "{{ firing[0].name }}",  # a message that is over has none
    "{{ title.x }}",
    "{{ firing_count.real }}",
    "{{ alert.name|truncate('x') }}",
    "{{ alert.name|join(1, 2, 3, 4) }}",
    "{{ *alerts }}",
    "{{",
    "{% if %}",
    "{% for %}",
    "{% for x in alerts %}",
    "{{ 'x }}",
    "{{ " + "(" * 5000 + "title" + ")" * 5000 + " }}",
    "{{ title" + "|upper" * 5000 + " }}",
    "{{ " + "9" * 5000 + " }}",
    "{% for a in alerts %}{% for b in 'x'|replace('x', 'y') %}{% endfor %}" * 100,
]


@pytest.mark.parametrize("source", REFUSED)
def test_f57_what_is_not_on_the_list_is_refused_at_load(source: str) -> None:
    """With the line in the template, and without having run."""
    [(path, message)] = problems(Section("ops", "webhook", {"fields": {"x": source}}))
    assert path == ("fields", "x")
    assert message.startswith("this template cannot be used: ")


def test_f57_the_table_is_long_enough() -> None:
    """At least 60 templates."""
    assert len(REFUSED) + len(GOOD) >= 60


BOMBS = [
    "{% for a in alerts %}" * 4 + "{% endfor %}" * 4,
    "{% for a in alerts %}{% for b in alerts %}{{ a.why|upper|lower|upper|lower|upper|lower }}{% endfor %}{% endfor %}",
    "{{ 'x'" + "|replace('x', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx')" * 30 + " }}",
    "{{ 'abc'" + "|join('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx')" * 30 + " }}",
    "{{ 'x'|replace('', 'y'|replace('y', '" + "z" * 10_000 + "')) }}",
    "{{ alerts|join('" + "z" * 15_000 + "', 'why') }}",
    "{% for a in alert.why %}{% for b in alert.why %}{{ a }}{% endfor %}{% endfor %}",
    "{% for a in alerts %}{{ a.why }}" + "{{ a.why }}" * 500 + "{% endfor %}",
    "x" * 19_000 + "{{ alert.why }}" * 60,
    "{% for a in alerts %}" + "{{ a.why|urlencode }}" * 300 + "{% endfor %}",
]


@pytest.mark.parametrize("source", BOMBS)
def test_f57_work_and_output_have_bounds(source: str, figure: Figure) -> None:
    """200 alerts with long texts: each bomb is over within a moment, with at most 20,000 characters."""
    many = telling(*[notice(why="disk \u00fc " * 300, labels={"mount": f"/{each}"}) for each in range(300)])
    template = jinja.compiled(source, VARIABLES)
    seen = data(many)
    began = time.process_time()
    made = said(lambda: jinja.render(template, seen))
    figure("outputs over the limit", len(made) > jinja.OUTPUT, at_most=0, n=1)
    assert time.process_time() - began < 2


def test_f57_a_filter_makes_nothing_huge_on_its_way() -> None:
    """20,000 characters, each replaced by 15,000, would be 300 MB before anything is cut."""
    source = "{{ alerts|join('', 'why')|replace('', '" + "z" * 15_000 + "') }}"
    template = jinja.compiled(source, VARIABLES)
    seen = data(telling(*[notice(why="x" * 5000) for _ in range(5)]))
    tracemalloc.start()
    try:
        made = jinja.render(template, seen)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(made) == jinja.OUTPUT
    assert peak < 5_000_000


EVIL = ("{{ 7 * 7 }}", "{% for x in alerts %}", "{{ self.__class__ }}", "{# x", "<b>&amp;", "\x00\u202e", "{{", "%}")


@pytest.mark.parametrize("evil", EVIL)
def test_f57_a_value_is_inserted_and_never_rendered(evil: str, figure: Figure) -> None:
    """Labels and reasons come from outside."""
    told = telling(notice(why=evil, labels={"x": evil, evil: "y"}), title=evil)
    inserted = rendered("{{ title }}{{ alert.why }}{{ alert.labels.x }}", told)
    figure("values rendered", inserted != evil * 3, at_most=0, n=1)
    shown = rendered("<i>{{ title }}</i>{{ alert.why|upper }}", told, html=True)
    assert "<b>" not in shown.lower().replace("<i>", "")


@given(st.text(alphabet=st.sampled_from("{}%|.'\"[]() alertsnmefoindwl0123\n<>_~*+"), max_size=60))
@settings(max_examples=300, deadline=None)
def test_f57_any_text_is_a_template_or_an_error_in_words(source: str) -> None:
    """Nothing else is raised, whatever stands there."""
    assert isinstance(said(lambda: rendered(source)), str)


# ------------------------------------------------------------------------------------------- at load


def write(folder: Path, receiver: str) -> Path:
    """A settings file with one receiver."""
    path = folder / "alerting.yaml"
    path.write_text(f"receivers:\n  ops:\n{receiver}")
    return path


def test_a_mistake_is_told_with_file_line_and_column_when_the_settings_load(tmp_path: Path) -> None:
    """All of them at once, each where its template stands."""
    lines = ("type: pagerduty", "routing_key: ${KEY}", "title: '{{ alert.nmae }}'", "fields:", "  team: |", "    a")
    receiver = "".join(f"    {line}\n" for line in (*lines, "    {{ tema }}"))
    path = write(tmp_path, receiver)
    with pytest.raises(ConfigError) as caught:
        load_settings(path, {"KEY": "x"}, tmp_path)
    said = [str(each) for each in caught.value.problems if not each.warning]
    assert len(said) == 2
    assert said[0].startswith(
        "alerting.yaml:5:12: this template cannot be used: for a message about one alert that fires"
    )
    assert "there is no 'nmae', did you mean name?" in said[0]
    assert said[1].startswith("alerting.yaml:7:13: this template cannot be used: line 2: there is no variable 'tema'")


@pytest.mark.parametrize("kind", ["pagerduty", "webhook", "email", "apprise"])
def test_templates_that_can_be_used_load(kind: str, tmp_path: Path) -> None:
    """Of every kind that has them; what a kind does not show is no key of it."""
    shown = {
        "pagerduty": ("routing_key: ${KEY}", "title: '{{ title }}'", "fields: {team: '{{ alert.labels.team }}'}"),
        "webhook": ("url: https://x.example.org", "fields: {team: '{{ alert.labels.team }}'}"),
        "email": ("host: localhost", "from: a@x.example", "to: b@x.example", "title: x", "text: x", "html: <p>"),
        "apprise": ("urls: ['${KEY}']", "title: '{{ title }}'", "text: '{{ reason }}'"),
    }
    settings_file = write(tmp_path, "".join(f"    {line}\n" for line in (f"type: {kind}", *shown[kind])))
    assert list(load_settings(settings_file, {"KEY": "json://x"}, tmp_path).receivers) == ["ops"]


def test_every_made_up_message_shows_all_that_templates_may_use() -> None:
    """Else a template could pass at load and fail on its first alert."""
    seen = [data(each) for each in made_up().values()]
    assert all(tuple(each) == VARIABLES for each in seen)
    keys = {tuple(alert) for each in seen for alert in (each["alert"], *each["alerts"])}
    assert keys == {tuple(data(telling())["alert"])}


def test_the_page_lists_what_templates_may_use() -> None:
    """Variables, keys of an alert, and filters: these and no others."""
    page = (Path(alerting.__file__).parents[1] / "docs" / "receivers.md").read_text()
    part = page.partition("## Templates")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ((?:`[^`]+`,? ?)+)\|", part, re.MULTILINE)
    listed = {re.match(r"\w+", name)[0] for row in rows for name in re.findall(r"`([^`]+)`", row)}  # type: ignore[index]
    assert listed - {*kinds("notifiers")} == {*VARIABLES, *data(telling())["alert"], *jinja.FILTERS}


# ------------------------------------------------------------------------------------------- when it fails


FAILING = "{{ alerts[2].name }}"  # there is one alert


def test_f57_a_message_is_not_lost_to_a_template() -> None:
    """It goes out in the plain words, and says in itself and in the answer what was wrong."""
    with PagerDuty() as service:
        answer = attempt("pagerduty", service, title=FAILING, fields={"a": "{{ alert.value }}", "b": FAILING})
    assert answer.outcome == Outcome.SENT
    assert "the template of `title` failed: there is no '2'" in answer.why
    payload = service.accepted[0]["payload"]
    assert payload["summary"] == telling().title
    assert "the template of `fields.b` failed" in payload["custom_details"]["notes"]
    assert (payload["custom_details"]["a"], "b" in payload["custom_details"]) == ("91.2%", False)


def test_f57_every_template_of_the_table_leaves_the_message_sent(figure: Figure) -> None:
    """Alerts not sent because of a template: none."""
    with Sink() as sink:
        every = (*REFUSED, *BOMBS)
        sent = sum(attempt("webhook", sink, fields={"x": source}).outcome == Outcome.SENT for source in every)
    figure("alerts not sent because of a template", len(every) - min(sent, len(sink.accepted)), at_most=0, n=len(every))
    long = sum(len(document.get("fields", {}).get("x", "")) > jinja.OUTPUT for document in sink.accepted)
    figure("outputs over the limit", long, at_most=0, n=len(every))
    shown = json.dumps([document.get("fields") for document in sink.accepted])
    figure("code run", "49" in shown or "root:" in shown, at_most=0, n=len(every))


def test_a_template_that_cannot_be_had_now_is_no_crash() -> None:
    """One that stands in a secret store is followed with each message until it could be read once."""

    def missing() -> str:
        raise AlertingError("${TITLE} is not set")

    filled = Templates({"title": Secret(missing, "${TITLE}")}).fill(telling())
    assert (filled.notification.title, filled.titled) == (telling().title, False)
    assert "is not set" in filled.trouble


def test_an_empty_title_is_no_title() -> None:
    """A message has one, whatever a template makes of it."""
    filled = Templates({"title": "{% if false %}x{% endif %}  "}).fill(telling())
    assert (filled.notification.title, filled.titled, filled.trouble) == (telling().title, False, "")


def test_what_templates_make_cannot_steer_anything() -> None:
    """Control characters of outside text are shown as escapes, and a title is one line."""
    filled = Templates({"title": "a\n{{ alert.why }}", "text": "{{ alert.why }}"}).fill(
        telling(notice(why="x\x1b[2J\ny"))
    )
    assert filled.notification.title == "a\\nx\\x1b[2J\\ny"
    assert filled.text == "x\\x1b[2J\ny"


def test_a_process_without_templates_does_not_load_jinja() -> None:
    """It costs as much as all else that `check` reads."""
    program = (
        "import sys; from alerting import registry; from alerting.model import Section;"
        "from tests.notifiers.desk import new_tools, telling;"
        "from alerting.notifiers._templates import Templates;"
        "registry.build_notifier(Section('ops', 'pagerduty', {'routing_key': 'x'}), new_tools());"
        "registry.notifier_problems(Section('ops', 'pagerduty', {'routing_key': 'x'}));"
        "Templates({}).fill(telling()); print('jinja2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"


def test_the_rest_of_a_large_group_is_counted() -> None:
    """Lists hold 200 alerts; the counts are of all."""
    many: Any = telling(*[notice(labels={"mount": f"/{each}"}) for each in range(300)], RESOLVED)
    assert rendered("{{ firing|length }} {{ firing_count }} {{ resolved_count }}", many) == "200 300 1"
