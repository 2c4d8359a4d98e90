"""The text format of metrics: what a line means, what a page is, and that none is taken in part."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alerting.exposition import PageReader, UnreadableError
from alerting.model import NO_LABELS, SHARED, FaultKind, Kind, Labels

if TYPE_CHECKING:
    from tests.figures import Figure

AT = 1_700_000_000_000


def page(text: str | bytes, limit: int = 1000) -> dict[str, Any]:
    """Read a page of a target without labels: `name{labels}` -> value, or (value, stamp) where it has one."""
    body = text if isinstance(text, bytes) else text.encode()
    samples = PageReader(NO_LABELS, limit).read(body, AT)
    return {f"{s.name}{s.labels}": s.value if s.at == AT else (s.value, s.at) for s in samples}


def outcome(text: str | bytes) -> str:
    """Write what a page gives: `name{labels} value; …`, or `fault: …`."""
    try:
        found = page(text)
    except UnreadableError as error:
        return f"fault: {error}"
    return "; ".join(f"{series} {value!r}" for series, value in found.items()) or "nothing"


LINES = [
    ("a 1", "a 1.0"),
    ("a 1\n", "a 1.0"),
    ("a 1\r\n", "a 1.0"),
    ("a 1\r\nb 2\r\n", "a 1.0; b 2.0"),
    ("  a   1  \n", "a 1.0"),
    ("\ta\t1\t\n", "a 1.0"),
    ("a{} 1", "a 1.0"),
    ("a {} 1", "a 1.0"),
    ("a{}1", "a 1.0"),
    ('a{b="c"} 1', 'a{b="c"} 1.0'),
    ('a{b="c",} 1', 'a{b="c"} 1.0'),
    ('a{ b = "c" , d = "e" } 1', 'a{b="c",d="e"} 1.0'),
    ('a{d="e",b="c"} 1', 'a{b="c",d="e"} 1.0'),
    ('a{b="c d"} 1', 'a{b="c d"} 1.0'),
    ('a{b="} 2"} 1', 'a{b="} 2"} 1.0'),
    ('a{b="x,y=z"} 1', 'a{b="x,y=z"} 1.0'),
    ('a{b="# x"} 1', 'a{b="# x"} 1.0'),
    (r'a{b="q\"q"} 1', r'a{b="q\"q"} 1.0'),
    (r'a{b="n\nn"} 1', r'a{b="n\nn"} 1.0'),
    (r'a{b="s\\s"} 1', r'a{b="s\\s"} 1.0'),
    (r'a{b="s\\n"} 1', r'a{b="s\\n"} 1.0'),
    (r'a{b="t\tt"} 1', r'a{b="t\\tt"} 1.0'),
    ('a{b="ü"} 1', 'a{b="ü"} 1.0'),
    ('a{b=""} 1', "a 1.0"),
    ('{"a.b"} 1', "a.b 1.0"),
    ('{"a.b",c="d"} 1', 'a.b{c="d"} 1.0'),
    ('a{"c.d"="e"} 1', 'a{c.d="e"} 1.0'),
    ("a:b:c 1", "a:b:c 1.0"),
    ("_a 1", "_a 1.0"),
    ("a 1.5e3", "a 1500.0"),
    ("a -1", "a -1.0"),
    ("a +1", "a 1.0"),
    ("a .5", "a 0.5"),
    ("a 5.", "a 5.0"),
    ("a 01", "a 1.0"),
    ("a -0", "a -0.0"),
    ("a NaN", "a nan"),
    ("a nan", "a nan"),
    ("a Inf", "a inf"),
    ("a +Inf", "a inf"),
    ("a -Inf", "a -inf"),
    ("a infinity", "a inf"),
    ("a 1e999", "a inf"),
    ("a 1e-999", "a 0.0"),
    ("a " + "9" * 400, "a inf"),
    ("a 0." + "3" * 10_000, "a 0.3333333333333333"),
    ("a 9007199254740993", "a 9007199254740992.0"),
    ("a 1 1600000000000", "a (1.0, 1600000000000)"),
    ("a 1 -1", "a (1.0, 0)"),
    ("a 1 -9999999999999999999", "a (1.0, 0)"),
    ("a 1 9999999999999999999", "a 1.0"),
    ("a 1 0", "a (1.0, 0)"),
    ("a 1 1800000000000", "a 1.0"),  # ahead of our clock: now
    ("# just a comment\na 1", "a 1.0"),
    ("#comment\na 1", "a 1.0"),
    ("# HELP a b\\n c\na 1", "a 1.0"),
    ("# HELP a \xff\na 1".encode("latin-1"), "a 1.0"),
    ("# TYPE a nonsense\na 1", "a 1.0"),
    ("# TYPE a\na 1", "a 1.0"),
    ("\n\na 1\n\n", "a 1.0"),
    ("# nothing yet\n", "nothing"),
    ("a 1\na 1", "a 1.0"),
    ('a{b="1",c="2"} 1\na{c="2",b="1"} 1', 'a{b="1",c="2"} 1.0'),
    ("a 1 1000\na 2 2000", "a (2.0, 2000)"),
    ("a 1 1000\n# EOF", "a (1.0, 1000000)"),
    ("a 1 1.5\n# EOF\n", "a (1.0, 1500)"),
    ('a_bucket{le="1"} 5 # {trace="x"} 0.5 1600000000.1\n# EOF\n', 'a_bucket{le="1"} 5.0'),
    ('a_bucket{le="1"} 5 1.5 # {trace="x y # z"} 0.5\n# EOF\n', 'a_bucket{le="1"} (5.0, 1500)'),
    # what is no page
    ("", "fault: the page is empty"),
    (" \n\n", "fault: the page is empty"),
    ("a", "fault: line 1: a value is missing"),
    ("a\n", "fault: line 1: a value is missing"),
    ("a{}", "fault: line 1: a value is missing"),
    ("1", "fault: line 1: no metric name in '1'"),
    ("a b", "fault: line 1: 'b' is not a number"),
    ("a 1_000", "fault: line 1: '1_000' is not a number"),
    ("a 0x10", "fault: line 1: '0x10' is not a number"),
    ("a ٣", "fault: line 1: '٣' is not a number"),
    ("a 1,5", "fault: line 1: '1,5' is not a number"),
    ("a 85%", "fault: line 1: '85%' is not a number"),
    ("a 1000ms", "fault: line 1: '1000ms' is not a number"),
    ("a true", "fault: line 1: 'true' is not a number"),
    ("a null", "fault: line 1: 'null' is not a number"),
    ("a --1", "fault: line 1: '--1' is not a number"),
    ("a 1 2 3", "fault: line 1: too much after the value: '1 2 3'"),
    ("a 1 x", "fault: line 1: 'x' is not a time stamp"),
    ("a 1 1.5", "fault: line 1: '1.5' is not a time stamp"),
    ("a 1 1e3", "fault: line 1: '1e3' is not a time stamp"),
    ("a 1 " + "9" * 40, f"fault: line 1: '{'9' * 30}' is not a time stamp"),
    ("a 1 nan\n# EOF", "fault: line 1: 'nan' is not a time stamp"),
    ("a-b 1", "fault: line 1: no metric name in 'a-b 1'"),
    ("a.b 1", "fault: line 1: no metric name in 'a.b 1'"),
    ("ä 1", "fault: line 1: no metric name in 'ä 1'"),
    ("a{b} 1", "fault: line 1: the label 'b' has no value"),
    ('a{b="c} 1', "fault: line 1: the labels cannot be read from 'b=\"c} 1' on"),
    ('a{b="c"', "fault: line 1: the labels cannot be read from 'b=\"c\"' on"),
    ('a{b="c" 1', "fault: line 1: the labels cannot be read from 'b=\"c\" 1' on"),
    ("a{b='c'} 1", "fault: line 1: the labels cannot be read from \"b='c'} 1\" on"),
    ("a{b=c} 1", "fault: line 1: the labels cannot be read from 'b=c} 1' on"),
    ('a{1b="c"} 1', "fault: line 1: the labels cannot be read from '1b=\"c\"} 1' on"),
    ('a{,b="c"} 1', "fault: line 1: the labels cannot be read from ',b=\"c\"} 1' on"),
    ('a{b="c",b="d"} 1', "fault: line 1: a has a label twice, or one that may not be"),
    ('a{__name__="d"} 1', "fault: line 1: a has a label twice, or one that may not be"),
    ('a{""="d"} 1', "fault: line 1: a has a label twice, or one that may not be"),
    ('{b="c"} 1', "fault: line 1: no metric name in '{b=\"c\"} 1'"),
    ('a{"b"} 1', "fault: line 1: the label 'b' has no value"),
    ("a 1\na 2", "fault: line 2: a stands twice with different values"),
    ('a{b="1"} 1\na{b="1",} 2', 'fault: line 2: a{b="1"} stands twice with different values'),
    ("a 1\nb", "fault: line 2: a value is missing"),
    (b'a{b="\xff"} 1', "fault: line 1 is not UTF-8"),
    (b"\x00\x01\x02 1", "fault: line 1: no metric name in '\\x00\\x01\\x02 1'"),
    (b"\x1f\x8b\x08\x00", "fault: line 1 is not UTF-8"),
    ("a 1\n# EOF\na 2", "fault: line 3: something follows `# EOF`"),
    ("a 1\n# EOF\nb 2", "fault: line 3: something follows `# EOF`"),
    ("b 2\na 1\n# EOF\n# more", "fault: line 4: something follows `# EOF`"),
    ("a 1\n# EOF\nb 2\n# EOF\n", "fault: line 3: something follows `# EOF`"),
    ("<!doctype html><title>Log in</title>", "fault: this is a web page (HTML)"),
    ("  <html>", "fault: this is a web page (HTML)"),
    ('{"status": "ok"}', 'fault: line 1: the labels cannot be read from \'"status": "ok"}\' on; it looks like JSON'),
    ("[1, 2]", "fault: line 1: no metric name in '[1, 2]'; it looks like JSON"),
    ("OK", "fault: line 1: a value is missing"),
    ("Service Unavailable", "fault: line 1: 'Unavailable' is not a number"),
]


@pytest.mark.parametrize(("text", "expected"), LINES, ids=range(len(LINES)))
def test_f4_a_page_means_what_the_format_says(text: str | bytes, expected: str, figure: Figure) -> None:
    """Every form of the text format, and each way to be none; a fault names the line."""
    found = outcome(text)  # which raises nothing but what is a fault
    right = found.startswith(expected) if expected.startswith("fault") else found == expected
    figure("undocumented outcomes", not right, at_most=0, n=1)


@pytest.mark.parametrize("text", [text for text, _ in LINES], ids=range(len(LINES)))
def test_a_page_means_the_same_when_it_is_read_again(text: str | bytes) -> None:
    """What the reader remembers of earlier pages changes nothing: not of good ones, not of bad ones."""
    body = text if isinstance(text, bytes) else text.encode()
    warm = PageReader(NO_LABELS, 1000)
    found = []
    for reader, page_ in (
        (PageReader(NO_LABELS, 1000), body),
        (warm, b"a 5\nb 6\n"),  # names of the table, known before a bad page comes
        (warm, body),
        (warm, b"broken"),
        (warm, body),
        (warm, body),
    ):
        try:
            found.append([(s.name, s.labels, repr(s.value), s.at) for s in reader.read(page_, AT)])
        except UnreadableError as error:
            found.append(str(error))
    assert found[0] == found[2] == found[4] == found[5]
    assert found[3] == "line 1: a value is missing"


@pytest.mark.parametrize("text", [text for text, _ in LINES], ids=range(len(LINES)))
@pytest.mark.parametrize("names", [frozenset({"a"}), frozenset({"other"}), frozenset({"b", "a.b"})], ids=len)
def test_what_nobody_asks_for_must_be_right_all_the_same(text: str | bytes, names: frozenset[str]) -> None:
    """Only asked names give samples, but a bad line anywhere still refuses the page, cold or warm.

    Only a contradiction between two series that nobody asked for may pass: it can mislead nobody.
    """
    body = text if isinstance(text, bytes) else text.encode()
    reader = PageReader(NO_LABELS, 1000)
    found: list[Any] = []
    for read_, asked in ((PageReader(NO_LABELS, 1000), frozenset()), (reader, names), (reader, names)):
        try:
            samples = read_.read(body, AT, asked)
            found.append([repr(s) for s in samples if s.name in names])
        except UnreadableError as error:
            found.append(str(error))
    assert found[1] == found[2]
    assert found[0] == found[1] or (found[1] == [] and "twice" in found[0])


def test_other_names_may_be_asked_for_later() -> None:
    """Rules change: the next page of the same target gives what they need then, unchanged as it may be."""
    reader = PageReader(NO_LABELS, 1000)
    body = b"a 1\nb 2\nc 3\n"
    for names in (frozenset({"a"}), frozenset({"b", "c"}), frozenset(), frozenset({"a"})):
        assert {sample.name for sample in reader.read(body, AT, names)} == (names or {"a", "b", "c"})


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(), st.none() | st.integers(0, AT))), st.data())
def test_pages_in_a_row_are_each_read_like_the_first(
    lines: list[tuple[str, float, int | None]], data: st.DataObject
) -> None:
    """One reader over changing pages gives what a new reader gives for each of them."""
    reader = PageReader(Labels({"job": "j"}), 1000)
    for _ in range(4):
        chosen = data.draw(st.permutations(lines))
        body = "".join(f'm{{l="{n}"}} {v}{"" if t is None else f" {t}"}\n' for n, v, t in chosen).encode()
        results = []
        for each in (reader, PageReader(Labels({"job": "j"}), 1000)):
            try:
                results.append(sorted(map(repr, each.read(body, AT))))
            except UnreadableError as error:
                results.append([str(error)])
        assert results[0] == results[1]


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "job", "__name__", "x-y"]), st.text('v"{}, =#\\', max_size=3))),
    st.sampled_from(["", ",", '"', '}"', "é"]),
    st.booleans(),
)
@example(labels=[("a", "1")], end='}"', honor=False)
@example(labels=[("__name__", "v")], end="", honor=False)
@example(labels=[("a", "1"), ("a", "2")], end="", honor=False)
@example(labels=[("job", "mine")], end="", honor=True)
def test_a_series_means_the_same_by_its_form_and_letter_by_letter(
    labels: list[tuple[str, str]], end: str, honor: bool
) -> None:
    """What is written like a line before is known by its form; a space before the brace forbids that."""
    inside = ",".join(f'{name}="{value}"' for name, value in labels)
    results = []
    for gap in ("", " "):
        body = f'm{gap}{{a="1",b="2"}} 1\nm{gap}{{{inside}{end}}} 2\n'.encode()
        reader = PageReader(Labels({"job": "j"}), 1000, honor=honor)
        try:
            results.append(list(map(repr, reader.read(body, AT))))
        except UnreadableError:
            results.append([])
    assert results[0] == results[1]


# ------------------------------------------------------------------------------------------- the reference parser

NAMES = st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,6}", fullmatch=True)
LABEL_NAMES = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{0,4}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('\\"\n,{}= '), max_size=8)
FLOATS = st.floats() | st.integers(-(10**20), 10**20).map(float)


def written(name: str, labels: dict[str, str], value: float, stamp: int | None, gap: str) -> str:
    """Write one sample line."""
    pairs = ",".join(
        '{}="{}"'.format(key, text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
        for key, text in labels.items()
    )
    number = {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, repr(value))
    return f"{name}{'{' + pairs + '}' if labels else ''}{gap}{number}{'' if stamp is None else f'{gap}{stamp}'}"


@given(
    st.lists(
        st.tuples(
            NAMES,
            st.dictionaries(LABEL_NAMES, TEXTS, max_size=3),
            FLOATS,
            st.none() | st.integers(0, AT),
            st.sampled_from([" ", "  ", "\t"]),
        ),
        unique_by=lambda line: (line[0], tuple(sorted((k, v) for k, v in line[1].items() if v))),
    ),
    st.sampled_from(["", "\n"]),
)
def test_we_read_what_the_reference_parser_reads(lines: list[Any], end: str) -> None:
    """Generated pages: prometheus_client's parser and ours agree on every series, value and stamp."""
    reference = pytest.importorskip("prometheus_client.parser")
    text = "\n".join(written(*line) for line in lines) + end
    if not text.strip():
        return
    theirs = {
        (sample.name, Labels(sample.labels)): (repr(sample.value), None if s is None else round(float(s) * 1000))
        for family in reference.text_string_to_metric_families(text)
        for sample in family.samples
        for s in [sample.timestamp]
    }
    ours = {
        (sample.name, sample.labels): (repr(sample.value), None if sample.at == AT else sample.at)
        for sample in PageReader(NO_LABELS, 10_000).read(text.encode(), AT)
    }
    assert ours == {key: (value, None if s == AT else s) for key, (value, s) in theirs.items()}


@given(st.binary(max_size=120) | st.text(max_size=120).map(str.encode))
def test_no_bytes_crash_the_reader(body: bytes) -> None:
    """Any bytes give samples or a typed refusal; so do they after a good page."""
    reader = PageReader(NO_LABELS, 100)
    for each in (body, b'a{b="c"} 1\n' + body):
        with suppress(UnreadableError):
            reader.read(each, AT)


# ------------------------------------------------------------------------------------------- what a page declares

DECLARED = [
    ("# TYPE a_total counter\na_total 1", {"a_total": Kind.COUNTER}),
    ("# TYPE a gauge\na 1", {"a": Kind.GAUGE}),
    ("# TYPE a untyped\na 1", {}),
    ("# TYPE a unknown\na 1", {}),
    (
        '# TYPE a histogram\na_bucket{le="+Inf"} 1',
        {"a_bucket": Kind.HISTOGRAM, "a_sum": Kind.COUNTER, "a_count": Kind.COUNTER},
    ),
    ("# TYPE a summary\na_sum 1", {"a": Kind.GAUGE, "a_sum": Kind.COUNTER, "a_count": Kind.COUNTER}),
    ("# TYPE a counter\na_total 1\n# EOF", {"a_total": Kind.COUNTER, "a": Kind.COUNTER}),
    ("# TYPE a info\na_info 1\n# EOF", {"a_info": Kind.GAUGE}),
    ('# TYPE "a.b" gauge\n{"a.b"} 1', {"a.b": Kind.GAUGE}),
    ("a 1", {}),
]


@pytest.mark.parametrize(("text", "expected"), DECLARED, ids=range(len(DECLARED)))
def test_type_lines_give_the_kinds_of_their_samples(text: str, expected: dict[str, Kind]) -> None:
    """By the names that samples have, not families: that is what conditions ask for."""
    reader = PageReader(NO_LABELS, 100)
    reader.read(text.encode(), AT)
    assert {metric.name: metric.kind for metric in reader.kinds} == expected
    assert all(metric.namespace == SHARED for metric in reader.kinds)


def test_unit_lines_give_units() -> None:
    """OpenMetrics says the unit; its words become ours."""
    reader = PageReader(NO_LABELS, 100)
    reader.read(b"# TYPE a_seconds gauge\n# UNIT a_seconds seconds\na_seconds 1\n# EOF\n", AT)
    assert [(metric.name, metric.unit) for metric in reader.kinds] == [("a_seconds", "s")]


def test_kinds_follow_the_page() -> None:
    """A page that stops declaring something is not quoted any more."""
    reader = PageReader(NO_LABELS, 100)
    reader.read(b"# TYPE a gauge\na 1\n", AT)
    reader.read(b"a 1\n", AT)
    assert reader.kinds == ()


# ------------------------------------------------------------------------------------------- bounds


def test_more_series_than_the_limit_are_refused_whole() -> None:
    """The page is not cut at the limit: what would be left out is not known to be harmless."""
    body = "".join(f"a{n} 1\n" for n in range(101))
    with pytest.raises(UnreadableError, match="more than 100 series") as caught:
        page(body, limit=100)
    assert caught.value.kind is FaultKind.TOO_LARGE
    assert len(page(body, limit=101)) == 101


def test_f44_a_line_without_end_is_refused() -> None:
    """65,536 bytes are a line; whoever writes more has half a million labels, or one that is a book."""
    label = "x" * (65_536 - len('a{b=""} 1\n'))
    assert len(page(f'a{{b="{label}"}} 1\n')) == 1
    with pytest.raises(UnreadableError, match="line 2 is longer than 65536 bytes") as caught:
        page(f'c 1\na{{b="{label}x"}} 1\n')
    assert caught.value.kind is FaultKind.TOO_LARGE


def test_space_behind_the_end_of_a_page_hides_it_from_nobody() -> None:
    """Its last 64 KiB are looked at first; where they are space, or an end of `# EOF`, the whole page is."""
    for space in (0, 1, 65_530, 65_531, 65_535, 65_536, 200_000):
        assert page("a 1 1.5\n# EOF\n" + "\n" * space) == {"a": (1.0, 1500)}


def test_f44_a_million_lines_are_refused_quickly_and_in_little_memory() -> None:
    """1,000,000 series on 8 MiB: refused at the limit, with memory for the limit's series only."""
    import time
    import tracemalloc

    body = b"".join(b"a%06d 1\n" % n for n in range(900_000))
    began = time.process_time()
    with pytest.raises(UnreadableError):
        page(body, limit=10_000)
    assert time.process_time() - began < 1
    tracemalloc.start()
    with pytest.raises(UnreadableError):
        page(body, limit=10_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 1024 * 1024


def test_churning_series_are_forgotten() -> None:
    """A target whose labels change at each page does not fill the memory."""
    reader = PageReader(NO_LABELS, 1000)
    for number in range(100):
        reader.read("".join(f'a{{id="{number}-{n}"}} 1\n' for n in range(100)).encode(), AT)
    assert len(reader._series) < 2000
    assert len(reader._known) < 2000
