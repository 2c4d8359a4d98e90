"""YAML text to values: what is more than text, where things stand, and both parsers alike."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from alerting.config import documents, placed
from alerting.config.placed import locate, place

SCALARS = [
    ("true", True),
    ("True", True),
    ("FALSE", False),
    ("null", None),
    ("~", None),
    ("", None),
    ("0", 0),
    ("-7", -7),
    ("1.5", 1.5),
    ("-0.25", -0.25),
    ("1e3", 1000.0),
    ("2E-2", 0.02),
    ("'true'", "true"),
    ('"12"', "12"),
    *(
        (text, text)
        for text in [
            "no",
            "yes",
            "on",
            "off",
            "y",
            "n",
            "No",
            "YES",
            "tRUE",
            "nULL",
            "012",
            "0o7",
            "0x1F",
            "0b1",
            "1_000",
            "1:30",
            "12:30:45",
            "+5",
            ".5",
            "5.",
            "1e999",
            ".inf",
            ".nan",
            "NaN",
            "2024-01-01",
            "2024-01-01T00:00:00Z",
            "5m",
            "1h30m",
            "85%",
            "=",
            "<<x",
            "-",
            "--",
            "---",
            "1.2.3",
            "1,000",
            "0123.4",
            "١٢",
        ]
        if text not in ("-", "---")
    ),
    ("9" * 401, "9" * 401),
]


def only(text: str) -> Any:
    """Give the value of the only document of a text that has no problems."""
    file = documents.parse(text.encode(), "x.yaml")
    assert file.problems == ()
    [document] = file.documents
    return document.value


@pytest.mark.parametrize(("written", "value"), SCALARS)
def test_only_what_all_readers_agree_on_is_more_than_text(written: str, value: object) -> None:
    """true, false, null and JSON's numbers; what YAML versions read differently stays what was written."""
    found = only(f"key: {written}\n")["key"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_texts_as_they_are_written() -> None:
    """Neither `on` nor `1` nor `true` becomes anything else as a key."""
    assert only("on: a\n1: b\ntrue: c\n~: d\n'e': f\n") == {"on": "a", "1": "b", "true": "c", "~": "d", "e": "f"}


def test_positions_are_those_of_the_file() -> None:
    """Keys, values and items, in block and flow style, after a byte order mark and letters of several bytes."""
    text = "\ufeffé: {ü: [1, x]}\nlist:\n- a\n-   b: c\n"
    file = documents.parse(text.encode(), "x.yaml")
    [document] = file.documents
    value = document.value
    assert place(document.at) == (1, 1)
    assert place(value.key_at("é")) == (1, 1)
    assert place(value["é"].value_at("ü")) == (1, 8)
    assert place(locate(document, ["é", "ü", 1])) == (1, 12)
    assert place(locate(document, ["list", 1, "b"])) == (4, 8)
    assert place(locate(document, ["list", 1, "b"], at_key=True)) == (4, 5)
    assert place(locate(document, ["list", 7, "b"])) == (3, 1)  # as far as it leads


def test_documents_are_told_apart_and_empty_ones_are_none() -> None:
    """Three documents, of which one holds nothing; the second begins in the third line."""
    file = documents.parse(b"a: 1\n---\nb: 2\n---\n", "x.yaml")
    assert [document.value for document in file.documents] == [{"a": 1}, {"b": 2}]
    assert place(file.documents[1].at) == (3, 1)


def test_what_came_before_a_syntax_error_is_kept() -> None:
    """So that its problems are reported too."""
    file = documents.parse(b"a: 1\n---\nb: [\n", "x.yaml")
    assert [document.value for document in file.documents] == [{"a": 1}]
    assert len(file.problems) == 1


def test_aliases_and_merge_keys_give_what_they_stand_for() -> None:
    """A key of the mapping itself goes before a merged one, an earlier merged one before a later."""
    text = "- &a {x: 1, y: 1}\n- &b {y: 2, z: 2}\n- {<<: [*a, *b], w: 0}\n- {<<: *a, x: 9}\n- *a\n"
    assert only(text)[2:] == [{"w": 0, "x": 1, "y": 1, "z": 2}, {"x": 9, "y": 1}, {"x": 1, "y": 1}]


def test_a_text_of_a_label_is_what_is_written() -> None:
    """Numbers and truth values keep their form where a text is wanted, behind an alias as well as may be."""
    file = documents.parse(b"{a: 1.10, b: True, c: , d: ~, e: 0.0, f: &n 7, g: *n, h: 'q'}", "x.yaml")
    texts = placed.texts(file, file.documents[0].value)
    assert texts == {"a": "1.10", "b": "True", "c": "", "d": "", "e": "0.0", "f": "7", "g": "7", "h": "q"}


LINES = st.lists(st.text(alphabet="ab:é ", max_size=6), max_size=3_000)


@given(LINES)
def test_lines_are_found_as_splitting_finds_them(lines: list[str]) -> None:
    """However many there are and wherever blocks end."""
    data = "\n".join(lines).encode()
    file = placed.File("x.yaml", data)
    expected = data.decode().split("\n")
    for number in {0, 1, len(expected) // 2, len(expected) - 1}:
        if number < len(expected):
            assert file.line(number) == expected[number].rstrip("\r")
    assert file.line(len(expected) + 5) == ""


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["no", "012", "1:30", "a: b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


def plain(value: Any) -> Any:
    """Give the value as plain dicts and lists."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


@given(VALUES, st.booleans())
def test_what_a_library_writes_is_read_back(value: Any, flow: bool) -> None:
    """PyYAML quotes whatever is not plain text to it: what we take for more than text, but for exponents as in JSON."""
    assume(not re.search(r"\d[eE][-+]?\d", repr(value)))  # `2e-07`: a number to JSON and to us, a text to PyYAML
    text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True, width=40)
    file = documents.parse(text.encode(), "x.yaml")
    if not file.problems:
        assert [plain(document.value) for document in file.documents] == [value]
    else:  # only what is no text in YAML 1.2, or nothing at all
        assert value is None or "control character" in file.problems[0].message


@given(st.text(alphabet="ab:-[]{},&*!|>'\"%@`#? \n\t~<0.", max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    """Every text gives documents or problems with a place, never an exception."""
    file = documents.parse(text.encode(), "x.yaml")
    assert file.documents or file.problems
    for problem in file.problems:
        assert problem.message
        assert str(problem).startswith("x.yaml")


@given(st.text(alphabet="ab:-[]{},&*|>'\"# \n~<01", max_size=40))
def test_both_parsers_give_the_same_events(text: str) -> None:
    """PyYAML without libyaml reads what libyaml reads: the same values in the same places, or both refuse."""
    data = text.encode()
    ours, pure = placed.File("x", data), placed.File("x", data)
    results = []
    for file, events in ((ours, documents._events(data)), (pure, documents.python_events(data))):
        builder = documents._Builder(file)
        try:
            builder.run(events)
            results.append(repr([(plain(each.value), each.at) for each in builder.documents()]))
        except (yaml.YAMLError, documents._Stop):
            results.append("refused")
    if "refused" not in results:
        assert results[0] == results[1]
