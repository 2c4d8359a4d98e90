"""Templates of rule files render as Prometheus renders them, and can do nothing else."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from alerting.core.gotemplate.functions import FUNCTIONS
from alerting.core.gotemplate.template import TemplateData, compile_template
from alerting.errors import ConditionError, TemplateError
from alerting.patterns import compile_pattern

LABELS = {"instance": "host.example.com:9090", "job": "api", "z": "last"}
SERIES = [({"instance": "b", "job": "two"}, 3.0), (LABELS, 12.5)]
DATA = TemplateData(LABELS, 12.5, {"region": "eu"}, "http://x.test/p/", "m = 12.5 > 1")


def answer(expression):
    """Stand for a query: `m` has two series, everything else has none."""
    return SERIES if expression == "m" else []


def rendered(text, data=DATA):
    """Compile and render."""
    return compile_template(text).render(data, answer, compile_pattern)


# What promtool gives for the same template (test_promtool_agrees_with_this_table asks it where it is installed).
SAME = [
    ("plain", "plain"),
    ("a {{ $labels.instance }} b", "a host.example.com:9090 b"),
    ("{{ $labels.nope }}|", "|"),
    ("{{ .Labels.job }}{{$labels.job}}{{if true}}a{{end}}", "apiapia"),
    ("{{ $value }} {{ .Value }}", "12.5 12.5"),
    ("{{ $externalLabels.region }}|{{ $externalURL }}", "eu|http://x.test/p/"),
    ('{{ index $labels "instance" }}', "host.example.com:9090"),
    ('{{ index $labels "nope" }}|', "|"),
    ('{{ index "abc" 1 }}', "98"),
    # pipelines and printing
    ("{{ $value | humanize }}", "12.5"),
    ('{{ $value | printf "%.3f" }}', "12.500"),
    ('{{ "quoted" | printf "%s-%s" "a" }}', "a-quoted"),
    ("{{ 1 | print 2 }}", "2 1"),
    ('{{ print 1 2 "a" "b" 3 4.5 }}', "1 2a b3 4.5".replace("a b3", "ab3")),
    ('{{ println "x" 1 }}|', "x 1\n|"),
    ("{{ print nil }}", "<nil>"),
    ("{{ true }} {{ 'a' }} {{ 0x10 }} {{ 1_000 }} {{ 1e3 }} {{ .5 }} {{ -3 }}", "true 97 16 1000 1000 0.5 -3"),
    (r'{{ `raw \n` }} {{ "esc \x41 \u00e9" }}', r"raw \n esc A é"),
    # printf
    ('{{ printf "%.2f" $value }} {{ printf "%0.0f" $value }}', "12.50 12"),
    ('{{ printf "%d" $value }} {{ printf "%s" $value }}', "%!d(float64=12.5) %!s(float64=12.5)"),
    (r'{{ printf "%s|%v|%q|%x|%X" "hé\"l\n" "b" "c\t\"é" "hi" "hi" }}', 'hé"l\n|b|"c\\t\\"é"|6869|6869'),
    ('{{ printf "%5s|%-5s|%05s|%.2s" "ab" "ab" "ab" "abc" }}', "   ab|ab   |000ab|ab"),
    (
        '{{ printf "%5d|%-5d|%05d|%+d|% d|%x|%#x|%o|%b|%c|%q" 42 42 42 42 42 42 42 42 5 65 65 }}',
        "   42|42   |00042|+42| 42|2a|0x2a|52|101|A|'A'",
    ),
    (
        '{{ printf "%8.3f|%-8.3f|%08.3f|%+.1f|%e|%E|%g|%G" 3.14159 3.14159 3.14159 3.14159 3e5 3e5 1e7 1e7 }}',
        "   3.142|3.142   |0003.142|+3.1|3.000000e+05|3.000000E+05|1e+07|1E+07",
    ),
    ('{{ printf "%d %d" 1 }}', "1 %!d(MISSING)"),
    ('{{ printf "%d" 1 2 "x" }}', "1%!(EXTRA int=2, string=x)"),
    ('{{ printf "100%%" }} {{ printf "100%" }}', "100% 100%!(NOVERB)"),
    ('{{ printf "%t %v" true false }} {{ printf "%z" 1 }}', "true false %!z(int=1)"),
    ('{{ printf "%T %T %T" 1 "a" 1.5 }}', "int string float64"),
    ('{{ printf "%*d|%.*f" 5 42 2 3.14159 }}', "   42|3.14"),
    ('{{ printf "%.3g %.3d %6.2f%%" 123456.0 5 12.345 }}', "1.23e+05 005  12.35%".replace("12.35", "12.35")),
    ('{{ printf "%v %v" 1e21 123456789.0 }}', "1e+21 1.23456789e+08"),
    ('{{ printf "%6v|%-6v|%06v" 1.5 1.5 1.5 }}', "   1.5|1.5   |0001.5"),
    ('{{ printf "%q" 1.5 }} {{ printf "%f" 1 }}', "%!q(float64=1.5) %!f(int=1)"),
    (
        '{{ printf "%s" true }} {{ printf "%d" "x" }} {{ printf "%.1f" "x" }}',
        "%!s(bool=true) %!d(string=x) %!f(string=x)",
    ),
    ('{{ printf "%v" (args 1 "x") }}', "map[arg0:1 arg1:x]"),
    # numbers for people
    (
        '{{ humanize 0.0 }} {{ humanize 1.0 }} {{ humanize 1234567.0 }} {{ humanize .12 }} {{ humanize "1e9" }}',
        "0 1 1.235M 120m 1G",
    ),
    ("{{ humanize 1e30 }} {{ humanize 1e-30 }} {{ humanize -1234.5 }}", "1e+06Y 1e-06y -1.234k"),
    (
        "{{ humanize1024 0.0 }} {{ humanize1024 1.0 }} {{ humanize1024 1048576.0 }} {{ humanize1024 -2048.0 }}",
        "0 1 1Mi -2ki",
    ),
    (
        "{{ humanizeDuration 0 }} {{ humanizeDuration 1 }} {{ humanizeDuration 60 }} {{ humanizeDuration 3600 }}",
        "0s 1s 1m 0s 1h 0m 0s",
    ),
    (
        '{{ humanizeDuration 86423.5 }} {{ humanizeDuration -1 }} {{ "43200" | humanizeDuration }}',
        "1d 0h 0m 23s -1s 12h 0m 0s",
    ),
    (
        "{{ humanizeDuration 12.3456 }} {{ humanizeDuration .1 }} {{ humanizeDuration -3700 }}",
        "12.35s 100ms -1h 1m 40s",
    ),
    ("{{ humanizePercentage 0.1234567 }} {{ humanizePercentage -0.22 }}", "12.35% -22%"),
    (
        '{{ humanizeTimestamp 1435065584.128 }} {{ humanizeTimestamp 0 }} {{ humanizeTimestamp "1435065584.1" }}',
        "2015-06-23 13:19:44.128 +0000 UTC 1970-01-01 00:00:00 +0000 UTC 2015-06-23 13:19:44.1 +0000 UTC",
    ),
    ("{{ toTime 1435065584.128 }}", "2015-06-23 13:19:44.128 +0000 UTC"),
    ('{{ parseDuration "1h30m" }} {{ parseDuration "1d" }} {{ parseDuration "100ms" }}', "5400 86400 0.1"),
    # texts
    ('{{ title "hello wORLD foo-bar it\'s" }}', "Hello WORLD Foo-Bar It'S"),
    ('{{ toUpper "abc" }} {{ toLower "ABC" }} {{ len "héllo" }} {{ slice "abcdef" 1 3 }}', "ABC abc 6 bc"),
    ('{{ match "a.*" "xxab" }} {{ match "^b" "ab" }}', "true false"),
    (r'{{ reReplaceAll "(.*):(\\d+)" "$2-$1" "host:9090" }}', "9090-host"),
    ('{{ reReplaceAll "a(x*)b" "${1}W" "-ab-axxb-" }} {{ reReplaceAll "a(x*)b" "$1W" "-ab-axxb-" }}', "-W-xxW- ---"),
    (
        '{{ stripPort "host:9090" }} {{ stripPort "host" }} {{ stripPort "[::1]:80" }} {{ stripPort "::1" }}',
        "host host ::1 ::1",
    ),
    (
        '{{ stripDomain "host.example.com:9090" }} {{ stripDomain "host.example.com" }} {{ stripDomain "1.2.3.4:80" }}',
        "host:9090 host 1.2.3.4:80",
    ),
    ('{{ urlquery "a b&c/~é" }}', "a+b%26c%2F~%C3%A9"),
    ("""{{ html "<a>&'\\"" }} {{ safeHtml "<a>" }}""", "&lt;a&gt;&amp;&#39;&#34; <a>"),
    (
        r'{{ graphLink "up == 1" }} {{ tableLink "up{a=\"b\"}" }}',
        "/graph?g0.expr=up+%3D%3D+1&g0.tab=0 /graph?g0.expr=up%7Ba%3D%22b%22%7D&g0.tab=1",
    ),
    # branches, loops, variables
    ("{{ if $labels.instance }}yes{{ else }}no{{ end }}", "yes"),
    ('{{ if $labels.nope }}yes{{ else if eq $labels.job "api" }}api{{ else }}no{{ end }}', "api"),
    ("{{ if gt $value 5.0 }}big{{ end }}", "big"),
    ("{{ with $labels.job }}[{{ . }}]{{ end }}{{ with $labels.nope }}x{{ else }}y{{ end }}", "[api]y"),
    ('a  {{- " b " -}}   c', "a b c"),
    ("a {{/* comment */}} b {{- /* trimmed */ -}} c", "a  bc".replace("  b", "  b")),
    ("{{ $x := $value }}{{ $x }}{{ $x = 2 }}{{ $x }}", "12.52"),
    ('{{ $x := "a" }}{{ if true }}{{ $x := "b" }}{{ $x }}{{ $x = "c" }}{{ end }}{{ $x }}', "ba"),
    ('{{ $x := "a" }}{{ if true }}{{ $x = "b" }}{{ end }}{{ $x }}', "b"),
    ("{{ with $x := 5 }}{{ $x }}{{ end }}{{ if $x := 5 }}{{ $x }}{{ end }}", "55"),
    ("{{ range $k, $v := $externalLabels }}{{ $k }}={{ $v }};{{ end }}", "region=eu;"),
    ("{{ range $externalLabels }}{{ break }}x{{ end }}{{ range $externalLabels }}{{ continue }}x{{ end }}", ""),
    ('{{ range query "nope" }}x{{ else }}none{{ end }}', "none"),
    (
        "{{ eq 1 2 3 1 }} {{ ne 1 2 }} {{ lt 1 2 }} {{ le 2 2 }} {{ gt 1 2 }} {{ ge 2 2 }}",
        "true true true true false true",
    ),
    ('{{ eq "a" "a" }} {{ gt "b" "a" }} {{ eq nil nil }} {{ eq $labels.nope "" }}', "true true true true"),
    ('{{ and 1 0 }} {{ or 0 "x" }} {{ not true }} {{ and true "z" }} {{ or false 0 }}', "0 x false z 0"),
    ("{{ and (gt $value 1.0) (lt $value 100.0) }}", "true"),
    # queries (the real one gives their series in any order)
    (
        '{{ range query "m" | sortByLabel "instance" }}{{ .Labels.instance }}={{ .Value }} {{ end }}',
        "b=3 host.example.com:9090=12.5 ",
    ),
    ('{{ range $i, $e := query "m" | sortByLabel "instance" }}{{ $i }}:{{ $e.Value }} {{ end }}', "0:3 1:12.5 "),
    (
        '{{ $s := query "m" | sortByLabel "instance" }}{{ first $s | value }} {{ (first $s).Value }} {{ len $s }}',
        "3 3 2",
    ),
    (
        '{{ $s := query "m" | sortByLabel "instance" }}{{ $s | first | label "instance" }} {{ (index $s 1).Value }}',
        "b 12.5",
    ),
    ('{{ with query "m" | sortByLabel "job" }}{{ . | first | value | humanize }}{{ end }}', "12.5"),
    ('{{ query "m" | sortByLabel "job" | first | label "job" }}{{ strvalue (first (query "m")) }}', "api"),
    # templates in templates
    ('{{ define "x" }}<{{ . }}>{{ end }}{{ template "x" $labels.job }}', "<api>"),
    ('{{ define "x" }}<{{ .Labels.job }}>{{ end }}{{ template "x" . }}', "<api>"),
    ('{{ block "y" $value }}v={{ . }}{{ end }}', "v=12.5"),
    ('{{ (args 1 "b").arg1 }} {{ (args 1).arg7 }}', "b <no value>"),
]


@pytest.mark.parametrize(("text", "expected"), SAME, ids=[text for text, _ in SAME])
def test_a_template_renders_as_in_prometheus(text, expected):
    """Text by text what the real one gives."""
    assert rendered(text) == expected


def test_promtool_agrees_with_this_table(tmp_path):
    """Where promtool is installed, it is asked for the same templates."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    annotations = {f"t{index:03d}": text for index, (text, _) in enumerate(SAME)}
    rule = {"alert": "A", "expr": 'm{z="last"}', "annotations": annotations}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [rule]}]}))
    inputs = [
        {"series": 'm{instance="host.example.com:9090",job="api",z="last"}', "values": "12.5"},
        {"series": 'm{instance="b",job="two"}', "values": "3"},
    ]
    expected = {f"t{index:03d}": text for index, (_, text) in enumerate(SAME)}
    check = {
        "eval_time": "0m",
        "alertname": "A",
        "exp_alerts": [{"exp_labels": LABELS, "exp_annotations": expected}],
    }
    case = {
        "input_series": inputs,
        "external_labels": {"region": "eu"},
        "external_url": "http://x.test/p/",
        "alert_rule_test": [check],
    }
    (tmp_path / "test.yml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yml"], "tests": [{"interval": "1m", **case}]})
    )
    ran = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-3000:]


OURS = [
    ("{{ $why }} {{ .Why }}", "m = 12.5 > 1 m = 12.5 > 1"),
    ("{{ externalURL }} {{ pathPrefix }}", "http://x.test/p/ /p"),
    ("{{ humanizeDuration 1e20 }}", "1157407407407407d 9h 46m 40s"),
]


@pytest.mark.parametrize(("text", "expected"), OURS, ids=[text for text, _ in OURS])
def test_what_goes_beyond_or_mends_prometheus(text, expected):
    """The reason in words, and what promtool itself cannot do."""
    assert rendered(text) == expected


def test_a_text_value_can_be_shown():
    """Fields of a health endpoint are texts."""
    assert rendered("{{ $value }} {{ $value | toUpper }}", DATA._replace(value="error")) == "error ERROR"


REFUSED = [
    ("a {{ foo }}", 5, "there is no function foo"),
    ("{{ $nope }}", 3, "the variable $nope is not defined"),
    ("{{ $x = 1 }}", 3, "the variable $x is not defined"),
    ("{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}", 38, "the variable $x is not defined"),
    ('{{ define "x" }}{{ $labels.a }}{{ end }}', 19, "the variable $labels is not defined"),
    ("{{ if true }}", 13, "{{ end }} is missing for the block before this place"),
    ("a {{ end }}", 2, "{{ end }} without a block"),
    ("{{ else }}", 0, "{{ else }} without a block"),
    ("{{ if }}x{{ end }}", 6, "a value was expected"),
    ("{{ }}", 3, "a value was expected"),
    ("{{ $value", 0, "the action is not closed"),
    ('{{ "unclosed }}', 3, 'the closing " is missing'),
    ("{{ /* c */ }}", 3, "unexpected '/' in a template's action"),
    ("{{/* c }}", 0, "the comment is not closed"),
    ("{{ 1 2 }}", 3, "a literal takes no arguments"),
    ("{{ 1 | 2 }}", 7, "a literal takes no arguments"),
    ('{{ template "nope" }}', 3, 'the template "nope" is not defined here'),
    ("{{ break }}", 3, "break outside range"),
    ("{{ a.b }}", 3, "there is no function a"),
    ("{{ len 'ab' }}", 7, "a text stands in double quotes"),
    ("{{ 1x }}", 3, "1x is no number"),
    ("{{ ($value }}", 11, "a value, | or ) was expected"),
    ("{{ $value ) }}", 10, "a value, | or }} was expected"),
    ("{{ $value; }}", 9, "unexpected ';' in a template's action"),
    ("{{ if 1 }}{{ else if 2 }}{{ else }}{{ else }}{{ end }}", 35, "{{ else }} without a block"),
    ("{{ len" + " (len" * 60 + ' "a"' + ")" * 60 + " }}", 257, "nested deeper than 50 levels"),
    ("{{ if 1 }}" * 60 + "{{ end }}" * 60, 503, "nested deeper than 50 levels"),
    ("{{ $value }}" + "x" * 70_000, 0, "a template longer than 65,536 characters"),
]


@pytest.mark.parametrize(("text", "at", "message"), REFUSED, ids=[text[:40] for text, _, _ in REFUSED])
def test_what_cannot_be_read_is_refused_with_its_place(text, at, message):
    """At load, not when the alert fires."""
    with pytest.raises(ConditionError) as caught:
        compile_template(text)
    (found,) = caught.value.diagnostics
    assert (found.span.start, found.message) == (at, message)


# Each does harm, or tries to, somewhere: attribute walks, calls, repeats, loops, what is missing, wrong types.
FAILING = [
    ("{{ .Nope }}", "there is no .Nope; a template has .Labels, .ExternalLabels, .ExternalURL, .Value, .Why"),
    ("{{ $labels.instance.x }}", "a string has no field x"),
    ("{{ $labels.instance.__class__ }}", "a string has no field __class__"),
    (
        "{{ .__class__.__mro__ }}",
        "there is no .__class__; a template has .Labels, .ExternalLabels, .ExternalURL, .Value, .Why",
    ),
    ("{{ $value.real }}", "a float64 has no field real"),
    ('{{ (query "m" | first).labels }}', "a template.sample has no field labels"),
    ('{{ (query "m").append }}', "a template.queryResult has no field append"),
    ('{{ $labels "x" }}', "$labels is no function and takes no arguments"),
    ("{{ $value | $labels }}", "$labels is no function and takes no arguments"),
    ("{{ if gt $value 5 }}big{{ end }}", "gt: a float64 cannot be compared with an int; write 5.0 against a float"),
    ("{{ eq 1 1.0 }}", "eq: an int cannot be compared with a float64; write 5.0 against a float"),
    ("{{ lt true false }}", "lt: a bool has no order"),
    ("{{ lt $labels 1 }}", "lt: a map[string]string cannot be compared"),
    ('{{ humanize "abc" }}', "humanize: 'abc' is no number"),
    ("{{ humanize $labels }}", "humanize: a map[string]string is no number"),
    ("{{ toUpper 5 }}", "toUpper: a text was expected, not an int"),
    ('{{ toUpper "a" "b" }}', "toUpper does not take these arguments"),
    ("{{ printf }}", "printf does not take these arguments"),
    ("{{ len 5 }}", "len: an int has no length"),
    ('{{ index (query "m") 9 }}', "index: index 9 is outside a length of 2"),
    ("{{ index 5 1 }}", "index: an int cannot be indexed"),
    ('{{ slice "abc" 2 9 }}', "slice: slice goes outside its value"),
    ('{{ query "nope" | first | value }}', "first: first of a query that found no series"),
    ("{{ first $labels }}", "first: the result of a query was expected, not a map[string]string"),
    ("{{ value $value }}", "value: one series of a query was expected, not a float64"),
    ('{{ parseDuration "1x" }}', "parseDuration: '1x' is no duration such as 1h30m"),
    ("{{ humanizeTimestamp 1e300 }}", "humanizeTimestamp: 1e+300 is outside the range of times"),
    ("{{ range $value }}x{{ end }}", "range cannot go over a float64"),
    ('{{ js "x" }}', "js: this function has no meaning here; write the text without it"),
    ('{{ call "x" }}', "call: this function has no meaning here; write the text without it"),
    ("{{ and }}", "and needs a value"),
    ('{{ printf "%99999999d" 1 }}', "printf: a width or precision over 1,000"),
    ('{{ printf "%.99999999f" 1.0 }}', "printf: a width or precision over 1,000"),
    ('{{ printf "%*d" 99999999 1 }}', "printf: a width or precision over 1,000"),
    ('{{ $x := "aaaaaaaaaaaaaaaa" }}' + "{{ $x = print $x $x }}" * 20, "print: the text grows over 65,536 characters"),
    (
        '{{ $x := "aaaaaaaaaaaaaaaa" }}' + '{{ $x = printf "%s%s" $x $x }}' * 20,
        "printf: the text grows over 65,536 characters",
    ),
    (
        '{{ $x := "aaaaaaaaaaaaaaaa" }}' + '{{ $x = reReplaceAll "a" "aa" $x }}' * 20,
        "reReplaceAll: the text grows over 65,536 characters",
    ),
    (
        '{{ define "x" }}{{ template "x" }}{{ end }}{{ template "x" }}',
        "templates include each other deeper than 50 levels",
    ),
    ('{{ match "(" "x" }}', "match: missing ): (?-s:()"),
]


@pytest.mark.parametrize(("text", "message"), FAILING, ids=[text[:40] for text, _ in FAILING])
def test_what_fails_while_it_runs_says_why(text, message):
    """A TemplateError for the caller, who sends the message without it; never anything else."""
    with pytest.raises(TemplateError) as caught:
        rendered(text)
    assert str(caught.value) == message


def test_nested_loops_end_at_the_limit_of_steps():
    """Seven loops over twenty series would be 1,280,000,000 rounds."""
    text = '{{ range query "many" }}' * 7 + "." + "{{ end }}" * 7
    many = [({"i": str(index)}, 1.0) for index in range(20)]
    with pytest.raises(TemplateError, match="more than 20,000 steps"):
        compile_template(text).render(DATA, lambda _expression: many)


def test_output_ends_at_its_limit():
    """A loop that writes a long text."""
    many = [({"i": str(index)}, 1.0) for index in range(1_000)]
    text = '{{ range query "many" }}' + "x" * 1_000 + "{{ end }}"
    with pytest.raises(TemplateError, match="grows over 65,536 characters"):
        compile_template(text).render(DATA, lambda _expression: many)


@pytest.mark.parametrize("value", ["{{ $value }}", "{{", "}}", '{{ define "x" }}', "$labels.job", "%s%n", "<a>", "\\1"])
def test_a_value_is_put_in_and_never_rendered(value):
    """Labels that look like templates come out as they are."""
    data = TemplateData({"job": value}, value)
    assert rendered('{{ $labels.job }}|{{ $value }}|{{ printf "%s" $labels.job }}', data) == f"{value}|{value}|{value}"


def test_a_query_or_a_pattern_without_its_means_fails_in_words():
    """Where no query can be made, the template fails, and nothing else does."""
    for text in ('{{ query "m" }}', '{{ match "a" "a" }}', '{{ reReplaceAll "a" "b" "a" }}'):
        with pytest.raises(TemplateError):
            compile_template(text).render(DATA)


def test_a_rehearsal_finds_what_can_never_work():
    """Against a made-up alert, when rules are loaded."""
    assert compile_template("{{ if gt $value 5 }}x{{ end }}").rehearse({}) == (
        "gt: a float64 cannot be compared with an int; write 5.0 against a float"
    )
    assert compile_template('{{ $labels.any }}{{ query "up" | first | label "job" }}').rehearse({}) == ""


@given(st.text(alphabet="{}$.|()\"'` -*/:=,%0a12bcdefilnrtuwxy\n", max_size=60))
def test_any_text_renders_or_is_refused_in_words(text):
    """Nothing but the two errors is ever raised."""
    try:
        rendered(text)
    except ConditionError as error:
        assert all(0 <= found.span.start <= len(text) for found in error.diagnostics)  # noqa: PT017
    except TemplateError as error:
        assert str(error)  # noqa: PT017


ATOMS = st.sampled_from(
    [
        *sorted(FUNCTIONS),
        "$value",
        "$labels",
        "$labels.job",
        ".",
        '"m"',
        '"%d"',
        "1",
        "2.5",
        "nil",
        "true",
        '(query "m")',
    ]
)


@given(st.lists(st.lists(ATOMS, min_size=1, max_size=4), min_size=1, max_size=3))
def test_any_call_gives_a_text_or_a_reason(commands):
    """Every function, with every kind of argument."""
    text = "{{ " + " | ".join(" ".join(command) for command in commands) + " }}"
    try:
        assert isinstance(rendered(text), str)
    except (ConditionError, TemplateError) as error:
        assert str(error)  # noqa: PT017


CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "rules"


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of public rule files is not beside this checkout")
def test_every_annotation_of_public_rule_files_compiles_and_works():
    """All of them, labels too."""
    count = 0
    for path in sorted(CORPUS.glob("*.yaml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                for text in (*rule.get("annotations", {}).values(), *rule.get("labels", {}).values()):
                    assert compile_template(text).rehearse({}, compile_pattern) == "", text
                    count += 1
    assert count > 100
