"""What the parser reads and refuses, case by case: trees by their shape, errors by their words and their place."""

from __future__ import annotations

from math import inf, isnan
from typing import Any

import pytest

from alerting.core.lang.syntax.parser import parse
from alerting.core.lang.syntax.printer import show
from alerting.core.lang.tree import (
    Aggregate,
    At,
    Binary,
    Call,
    Number,
    Per,
    Range,
    Selector,
    Subquery,
    Text,
    Truth,
    Unary,
)
from alerting.errors import ConditionError, Diagnostic
from alerting.model import Matcher


def shape(node: Any) -> str:
    """Write a tree with every operator in its own parentheses."""
    if isinstance(node, Binary):
        return f"({shape(node.left)} {node.op} {shape(node.right)})"
    if isinstance(node, Unary):
        return f"({node.op}{shape(node.expr)})"
    return show(node)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b * c", "(a + (b * c))"),
        ("a * b + c", "((a * b) + c)"),
        ("a - b - c", "((a - b) - c)"),
        ("a / b % c", "((a / b) % c)"),
        ("a atan2 b * c", "((a atan2 b) * c)"),
        ("a ^ b ^ c", "(a ^ (b ^ c))"),
        ("a ^ b * c", "((a ^ b) * c)"),
        ("a * b ^ c", "(a * (b ^ c))"),
        ("-a ^ b", "(-(a ^ b))"),
        ("-a * b", "((-a) * b)"),
        ("a ^ -b", "(a ^ (-b))"),
        ("a ^ -b * c", "((a ^ (-b)) * c)"),
        ("- - a", "(-(-a))"),
        ("a + -b", "(a + (-b))"),
        ("a > b + c", "(a > (b + c))"),
        ("a > b > c", "((a > b) > c)"),
        ("a and b or c and d", "((a and b) or (c and d))"),
        ("a or b unless c", "(a or (b unless c))"),
        ("a and b unless c", "((a and b) unless c)"),
        ("a > 1 and b < 2", "((a > 1) and (b < 2))"),
        ("a AND b Or c", "((a and b) or c)"),
        ("a == 'x' or b =~ 'y'", '((a == "x") or (b =~ "y"))'),
        ("-a offset 5m", "(-a offset 5m)"),
    ],
)
def test_operators_bind_as_in_promql(text: str, expected: str) -> None:
    """Strength and direction: ^ from the right and above the sign, then * / % atan2, + -, comparisons, and, or."""
    assert shape(parse(text)) == expected


@pytest.mark.parametrize("dialect", ["native", "prometheus"])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("0.5", 0.5),
        (".5", 0.5),
        ("5.", 5),
        ("1e3", 1000),
        ("1E-2", 0.01),
        ("1_000.5", 1000.5),
        ("0x1F", 31),
        ("0x_ff", 255),
        ("00", 0),
        ("007", 7),
        ("089", 89),
        ("Inf", inf),
        ("inF", inf),
        ("5e0", 5),
    ],
)
def test_numbers(text: str, value: float, dialect: Any) -> None:
    """Numbers as Prometheus 3 takes them, in both dialects."""
    node = parse(text, dialect=dialect)
    assert isinstance(node, Number)
    assert (node.value, node.unit) == (value, "")


def test_nan_is_a_number_in_any_case() -> None:
    """`NaN`, `nan`."""
    for text in ("NaN", "nan", "NAN"):
        node = parse(text)
        assert isinstance(node, Number)
        assert isnan(node.value)


@pytest.mark.parametrize(
    ("text", "native", "seconds"),
    [
        ("5m", (5, "m"), 300),
        ("1000ms", (1000, "ms"), 1),
        ("1h30m", (5400, "s"), 5400),
        ("1y2w3d4h5m6s7ms", (33_019_506.007, "s"), 33_019_506.007),
        ("1d", (1, "d"), 86400),
        ("1.5h", (1.5, "h"), None),
    ],
)
def test_durations_are_numbers(text: str, native: tuple[float, str], seconds: float | None) -> None:
    """In Prometheus' form they are seconds; in ours they keep the unit that was written."""
    node = parse(text)
    assert isinstance(node, Number)
    assert (node.value, node.unit) == native
    if seconds is not None:
        other = parse(text, dialect="prometheus")
        assert isinstance(other, Number)
        assert (other.value, other.unit) == (seconds, "")


@pytest.mark.parametrize(
    "unit", ["B", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB", "ms", "us", "s", "m", "h", "d", "w", "y"]
)
def test_units(unit: str) -> None:
    """A unit follows its number without a space."""
    node = parse(f"x > 2.5{unit}")
    assert isinstance(node, Binary)
    assert isinstance(node.right, Number)
    assert (node.right.value, node.right.unit) == (2.5, unit)


@pytest.mark.parametrize(
    ("text", "percent"),
    [
        ("x > 85%", True),
        ("x > 85% and y", True),
        ("x > 85% or y", True),
        ("(85%)", True),
        ("clamp_max(x, 85%)", True),
        ("85% > x", True),
        ("85% * 2", True),
        ("x > 85% unless y", True),
        ("85%y", False),
        ("85% 3", False),
        ("85 % 3", False),
        ("85%(3)", False),
        ("85% -3", False),
        ("85%{a='b'}", False),
        ("85% sum(x)", False),
    ],
)
def test_a_percent_sign_before_an_operand_is_modulo(text: str, percent: bool) -> None:
    """Otherwise, right behind a number, it is the unit; in Prometheus' form it is always modulo."""
    node = parse(text)
    found = [each.op for each in walk(node) if isinstance(each, Binary)]
    units = [each.unit for each in walk(node) if isinstance(each, Number) and each.unit]
    assert ("%" in units, "%" in found) == (percent, not percent)
    if percent:
        assert error(text, "prometheus").message.startswith(("expected a value", "a dotted", "`"))
    else:
        assert parse(text, dialect="prometheus") == node


def walk(node: Any) -> list[Any]:
    """Give a node and all below it."""
    flat = [item for each in node for item in (each if type(each) is tuple else (each,))]
    return [node, *(found for each in flat if hasattr(each, "span") for found in walk(each))]


@pytest.mark.parametrize(
    ("text", "every"),
    [
        ("10 per second", 1000),
        ("10 per minute", 60_000),
        ("10 PER Hour", 3_600_000),
        ("10 per day", 86_400_000),
        ("10 per 5m", 300_000),
        ("10 per 1h30m", 5_400_000),
    ],
)
def test_rates_in_words(text: str, every: int) -> None:
    """`N per period` is one value."""
    node = parse(f"x > {text}")
    assert isinstance(node, Binary)
    assert isinstance(node.right, Per)
    assert (node.right.number, node.right.every) == (10, every)


def test_per_is_a_word_only_behind_a_number() -> None:
    """Everywhere else it is the name of a metric, as PromQL allows."""
    assert shape(parse("per > 5")) == '({"per"} > 5)'
    assert shape(parse("10 * per")) == '(10 * {"per"})'


@pytest.mark.parametrize(
    "name", ["by", "without", "offset", "start", "end", "sum", "count", "topk", "and", "or", "unless", "per"]
)
@pytest.mark.parametrize("dialect", ["native", "prometheus"])
def test_keywords_are_names_of_metrics_where_promql_lets_them(name: str, dialect: Any) -> None:
    """Only where a value must stand."""
    for text in (f"{name} > 5", f"5 < {name}", f'{name}{{a="b"}}', f"rate({name}[5m])", f"({name})"):
        node = parse(text, dialect=dialect)
        assert [each.path for each in walk(node) if isinstance(each, Selector)] == [(name,)]


@pytest.mark.parametrize(
    "name", ["on", "bool", "ignoring", "by", "sum", "and", "inf", "offset", "group_left", "true", "per"]
)
def test_keywords_are_labels(name: str) -> None:
    """In braces and in lists of labels every word is a label."""
    node = parse(f'sum by ({name}) (x{{{name}="1"}}) + on ({name}) group_left ({name}x) y')
    assert isinstance(node, Binary)
    assert node.matching is not None
    assert node.matching.labels == (name,)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("up", ("up",)),
        ("job:errors:rate5m", ("job:errors:rate5m",)),
        (":x:sum", (":x:sum",)),
        ("health_check.database.status", ("health_check", "database", "status")),
        ('health_check."disk-space"', ("health_check", "disk-space")),
        ('health_check."disk-space".free', ("health_check", "disk-space", "free")),
        ('"my source".x', ("my source", "x")),
        ('a."b.c"', ("a", "b.c")),
        ("true.x", ("true", "x")),
        ('sum."x"', ("sum", "x")),
        ('{"metric.name"}', ("metric.name",)),
        ('{"metric.name", a="b"}', ("metric.name",)),
        ('{__name__="x"}', ("x",)),
        ('{__name__=~"x.*", a="b"}', ()),
        ('{a="b",}', ()),
    ],
)
def test_names(text: str, path: tuple[str, ...]) -> None:
    """Plain, dotted, quoted, and by matchers alone."""
    node = parse(text)
    assert isinstance(node, Selector)
    assert node.path == path


def test_matchers_keep_their_order_and_escapes() -> None:
    """All four operators, label names in quotes, Go's escapes in values."""
    node = parse(r"""x{a="1", b!='2', c=~`3\d`, "d e"!~"\x41é\u00e9\101\n\"",}""")
    assert isinstance(node, Selector)
    assert node.matchers == (
        Matcher("a", "=", "1"),
        Matcher("b", "!=", "2"),
        Matcher("c", "=~", r"3\d"),
        Matcher("d e", "!~", 'AééA\n"'),
    )


def test_ranges_subqueries_and_shifts_in_time() -> None:
    """`offset` and `@` in either order, negative, with a fixed time or start() and end()."""
    assert parse("x[5m]") == Range(Selector(("x",), span=parse("x").span), 300_000, parse("x[5m]").span)
    node = parse("x[1h30m] @ 1609746000.5 offset -5m")
    assert isinstance(node, Range)
    assert (node.window, node.selector.offset, node.selector.at) == (5_400_000, -300_000, At("time", 1_609_746_000_500))
    moved = parse("x offset 90 @ end()")
    assert isinstance(moved, Selector)
    assert (moved.offset, moved.at) == (90_000, At("end"))
    sub = parse("sum(x)[1h:5m] offset 1d @ start()")
    assert isinstance(sub, Subquery)
    assert (sub.window, sub.step, sub.offset, sub.at) == (3_600_000, 300_000, 86_400_000, At("start"))
    default = parse("x[1h:]")
    assert isinstance(default, Subquery)
    assert default.step == 0


def test_aggregations_take_their_grouping_before_or_after() -> None:
    """And a parameter first, for those that have one."""
    before, after = parse("sum by (a, b) (x)"), parse("SUM(x) BY (a, b,)")
    assert isinstance(before, Aggregate)
    assert isinstance(after, Aggregate)
    assert (
        (before.op, before.grouping, before.without)
        == (after.op, after.grouping, after.without)
        == ("sum", ("a", "b"), False)
    )
    top = parse("topk without () (3, x)")
    assert isinstance(top, Aggregate)
    assert isinstance(top.param, Number)
    assert (top.grouping, top.without) == ((), True)


def test_modifiers_of_operators() -> None:
    """bool, on, ignoring, group_left and group_right with and without labels."""
    node = parse("a > bool ignoring (x, y) group_right (z) b")
    assert isinstance(node, Binary)
    assert node.bool_
    assert node.matching is not None
    assert (node.matching.on, node.matching.labels, node.matching.group, node.matching.include) == (
        False,
        ("x", "y"),
        "right",
        ("z",),
    )
    bare = parse("a * on () group_left b")
    assert isinstance(bare, Binary)
    assert bare.matching is not None
    assert (bare.matching.labels, bare.matching.group) == ((), "left")


def test_truth_words_texts_and_comments() -> None:
    """`true` and `false` are values in our form and names in Prometheus'; comments end with the line."""
    node = parse("x == true # a comment\n and y != FALSE")
    assert [each.value for each in walk(node) if isinstance(each, Truth)] == [True, False]
    assert shape(parse("true > 1", dialect="prometheus")) == '({"true"} > 1)'
    assert isinstance(parse("'a'"), Text)
    assert isinstance(parse("label_replace(x, 'a', \"$1\", `b`, '(.*)')"), Call)


def error(text: str, dialect: Any = "native") -> Diagnostic:
    """Give the first thing that the parser has against a text."""
    with pytest.raises(ConditionError) as raised:
        parse(text, dialect=dialect)
    return raised.value.diagnostics[0]


BAD = [  # text with the place marked by » «, words of the message, words of the hint
    ("»«", "no condition", "disk_usage"),
    ("x > »«", "expected a value after `>`, found the end", ""),
    ("x »=« 5", "expected an operator or the end, found `=`", "=="),
    ("x > »=« 5", "expected a value, found `=`", "=="),
    ("x »y«", "expected an operator or the end, found `y`", ""),
    ("x > 1000 »ms«", "expected an operator or the end, found `ms`", "without a space: 1000ms"),
    ("x > 85 »percent«", "found `percent`", "85%"),
    ("x > 85 %»«", "expected a value, found the end", "without a space: 85%"),
    ("»(«x > 5", "this ( is not closed", ""),
    ("x > 5»)«", "this ) closes nothing", "open a ("),
    ("(x > 5 »y«)", "expected an operator or `)`, found `y`", ""),
    ("(»)«", "expected a value, found `)`", "nothing between"),
    ("x »&«& y", "`&` has no meaning", "`and`"),
    ("x »|«| y", "`|` has no meaning", "`or`"),
    ("»!«x", "`!` has no meaning", "unless"),
    ("x »≥« 5", "`≥` has no meaning", ">="),
    ("x == »\u201c«ok\u201d", "has no meaning", "plain quotes"),
    ("»é«t > 5", "has no meaning", "quoted"),
    ("x == »'ok«", "this string is not closed", "end it with '"),
    ('x{a=»"b«\n}', "this string is not closed", ""),
    (r"""x == '»\q«'""", "no escape", r"\\"),
    (r"""x == '»\xff«'""", "UTF-8", ""),
    (r"""x == '»\ud800«'""", "no such character", ""),
    (r"""x == '»\U00110000«'""", "no such character", ""),
    (r"""x == '»\777«'""", "an octal escape is one byte", ""),
    ("»not« x", "expected a value before `not`", "unless"),
    ("»and« x > 5", "expected a value before `and`", ""),
    ("»on« > 5", "expected a value, found `on`", ""),
    ("x »is« 5", "found `is`", "=="),
    ("x > 5 »for« 5m", "found `for`", "`for: 5m`"),
    ("x{a=»b«}", "expected a quoted value for the label a, found `b`", '"b"'),
    ("x{a »==« 'b'}", "expected one of = != =~ !~", "single ="),
    ("x{»5«}", "expected a label's name, found `5`", ""),
    ("x{»,«}", "expected a label's name, found `,`", ""),
    ("x{a='b' »c«='d'}", "expected `,` or `}` after a matcher", ""),
    ("x»{«a='b'", "this { is not closed", ""),
    ("x{»a.b«='c'}", "a.b is no plain label", '"a.b"'),
    ("x{»''«='c'}", "the label's name is empty", ""),
    ("»{}«", "selects every series", "name a metric"),
    ("»{a=''}«", "selects every series", ""),
    ("»{a!='b'}«", "selects every series", ""),
    ("»{a=~'.*'}«", "selects every series", ""),
    ("»{a!~'b.+'}«", "selects every series", ""),
    ("»x{__name__='y'}«", "name is given twice: x and y", ""),
    ("»{'x', 'y'}«", "name is given twice: x and y", ""),
    ("»x{'y'}«", "name is given twice: x and y", ""),
    ("health».« status", "expected the name of a field right after the dot", "quoted"),
    ("health».«", "expected the name of a field", ""),
    ("health».5xx«", "expected a field", 'health."5xx"'),
    ("»health.x«(5)", "is a field of a source, not a function", ""),
    ("rate»(«x", "this ( is not closed", ""),
    ("abs(x»,«)", "expected another argument", ""),
    ("»sum(x, y)«", "sum takes one expression, this has 2", ""),
    ("»topk(x)«", "topk takes a parameter and an expression, this has 1", ""),
    ("sum by (a)(x) »by« (b)", "sum is grouped twice", ""),
    ("sum by »x« (y)", "expected `(` and labels after `by`", ""),
    ("sum by (»5«) (y)", "expected a label, found `5`", ""),
    ("sum by (a »b«) (y)", "expected `,` or `)` in the labels", ""),
    ("a + »bool« b", "`bool` goes with comparisons only", ""),
    ("a + »group_left« b", "comes after on(…)", "on(labels)"),
    ("a and on (x) »group_left« b", "takes no group_left", ""),
    ("a * on (x) »group_left (x)« b", "stands in on(…) and in the group", ""),
    ("x[»0s«]", "holds nothing", "[5m]"),
    ("x[»foo«]", "expected a length of time", "5m"),
    ("x[5m »y«]", "expected `]` or `:`", "subquery"),
    ("(x)»[5m]«", "right behind a selector", "[5m:]"),
    ("»x offset 5m«[5m]", "come after the range", "x[5m] offset"),
    ("sum(x) »offset« 5m", "`offset` goes behind", ""),
    ("x offset 5m »offset 5m«", "`offset` is given twice", ""),
    ("x @ 5 »@« 6", "`@` is given twice", ""),
    ("x @ »foo«", "expected a time after `@`", "start()"),
    ("x @ »1e300«", "out of range", ""),
    ("»010«", "reads 010 in base 8, as 8", "write 8, or 10"),
    ("»1e999«", "too large for a number", "Inf"),
    ("»1__0«", "is no number", "1_000"),
    ("»0xg«", "is no number", "hex"),
    ("x > »5KB«", "there is no unit KB", "kB (1000) or KiB (1024)"),
    ("x > »5min«", "there is no unit min", "write m"),
    ("x > »5parsec«", "there is no unit parsec", "ms s m h"),
    ("x > »1h1h«", "is no duration", "1h30m"),
    ("x > »5m1h«", "is no duration", "long ones come first"),
    ("x[»300y«]", "is too long", "292y"),
    ("x[»5MB«]", "is no length of time", ""),
    ("x > 10 per »fortnight«", "expected a period after `per`", "minute"),
    ("x > 10 per »5« minutes", "expected a period after `per`", "5m"),
    ("x > »5m« per minute", "a rate counts events", ""),
    ("x »=«> 5", "expected an operator or the end, found `=`", "write >="),
    ("x > 85% for »5m«", "expected an operator or the end, found `5m`", "`for: 5m`"),
    ("x »contains« 'y'", "expected an operator or the end", "=~"),
]


@pytest.mark.parametrize(("marked", "message", "hint"), BAD, ids=[each[0] for each in BAD])
def test_errors_say_where_what_and_what_to_do(marked: str, message: str, hint: str) -> None:
    """Each wrong text with the exact place, what was expected, and what was probably meant."""
    start, end = marked.index("»"), marked.index("«") - 1
    text = marked.replace("»", "").replace("«", "")
    found = error(text)
    assert message in found.message
    assert hint in found.hint
    assert (found.span.start, found.span.end) == (start, end)


PROMETHEUS_ONLY = [
    ("»health.status« == 1", "a dotted name is not PromQL"),
    ('»"health".status« == 1', "a dotted name is not PromQL"),
    ("x > »10 per minute«", "`per` is not PromQL"),
    ("x > »2GiB«", "is no number in PromQL"),
    ("x > »1.5h«", "is no number in PromQL"),
    ("x »=~« 'y'", "between two values is not PromQL"),
    ("x > 85%»«", "expected a value"),
]


@pytest.mark.parametrize(("marked", "message"), PROMETHEUS_ONLY)
def test_additions_are_errors_in_prometheus_form_that_say_where_they_work(marked: str, message: str) -> None:
    """The same text is read in our own form."""
    start, end = marked.index("»"), marked.index("«") - 1
    text = marked.replace("»", "").replace("«", "")
    found = error(text, "prometheus")
    assert message in found.message
    assert "in a rule of our own form, outside `groups:`" in found.hint
    assert (found.span.start, found.span.end) == (start, end)
    parse(text)


def test_octal_is_as_in_promql_in_prometheus_form() -> None:
    """There `010` is 8, whoever likes it."""
    node = parse("010", dialect="prometheus")
    assert isinstance(node, Number)
    assert node.value == 8


def test_every_bad_matcher_is_reported() -> None:
    """Reading goes on behind an error in braces and in lists of labels, and the errors come in order."""
    with pytest.raises(ConditionError) as raised:
        parse("sum by (5, 6) (x{a=b, c=='d', e='f'} offset 0x) > 1 per minute")
    assert [each.span.start for each in raised.value.diagnostics] == [8, 11, 19, 23, 44]
    assert str(raised.value).count(";") == 4


def test_a_text_that_is_too_long_is_refused() -> None:
    """64 Ki characters are more than anybody writes."""
    assert "may have 65,536 characters; this has 65,537" in error("x" * 65_537).message
