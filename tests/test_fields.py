"""A JSON object as fields: every odd value has its documented outcome."""

from __future__ import annotations

import re
import sys
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.fields import UnreadableError, read_fields
from tests.fakes.hostile import many_values, nested

if TYPE_CHECKING:
    from tests.figures import Figure

CASES = Path(__file__).parent / "sources" / "cases" / "json.txt"


def cases() -> list[tuple[bytes, str]]:
    """The (document, outcome) pairs of cases/json.txt."""
    lines = [line for line in CASES.read_text(encoding="utf-8").split("\n") if line and not line.startswith("# ")]
    pairs = []
    for given_, outcome in zip(lines[::2], lines[1::2], strict=True):
        kind, _, text = given_.partition(" ")
        expected = outcome.strip(" ")
        body = '{"v": ' + text + "}" if kind == "value" else text
        if sys.version_info >= (3, 13) and re.search(r",[\]}]", body):  # it points at the comma, not behind it
            expected = re.sub(r"(?<=column )\d+", lambda column: str(int(column[0]) - 1), expected)
        pairs.append((body.encode(), expected))
    return pairs


def outcome(body: bytes) -> str:
    """Write what a document gives as cases/json.txt does."""
    try:
        fields = read_fields(body)
    except UnreadableError as error:
        return f"fault: {error}"
    return "; ".join(f"{name}{labels} {value!r}" for (name, labels), value in fields.items()) or "nothing"


def test_f4_every_odd_json_value_has_its_documented_outcome(figure: Figure) -> None:
    """At least 200 inputs (row F4): a number, a text, nothing, or a fault; never a guess, never a crash."""
    table = cases()
    assert len(table) >= 200
    crashes, undocumented = 0, []
    for body, expected in table:
        try:
            found = outcome(body)
        except Exception as error:  # noqa: BLE001  whatever it is, it is what is looked for
            found, crashes = repr(error), crashes + 1
        undocumented += [(body, found, expected)] if found != expected else []
    print(undocumented)
    figure("crashes", crashes, at_most=0, n=len(table))
    figure("undocumented outcomes", len(undocumented), at_most=0, n=len(table))


BIG = [
    (b"9" * 10_000, "fault: the number 99999999999999999999… is too large"),
    (b"-" + b"9" * 10_000, "fault: the number -9999999999999999999… is too large"),
    (b"0." + b"3" * 10_000, "v 0.3333333333333333"),
    (b"1" + b"0" * 300, "v 1e+300"),
    (b"1e" + b"9" * 10_000, "fault: the number 1e999999999999999999… is too large"),
    (b"[" * 100_000 + b"]" * 100_000, "fault: the answer has more than 20000 values"),
    (b"[" * 10_000 + b"]" * 10_000, "fault: the answer nests deeper than 64 levels"),
    (b"[" * 65 + b"]" * 65, "fault: the answer nests deeper than 64 levels"),
    (b"[" * 60 + b"]" * 60, "nothing"),
    (b'"' + b"a" * 5000 + b'"', f"v {'a' * 4096!r}"),
    (b'{"' + b"k" * 600 + b'": 1}', "fault: the name of a field is longer than 512 characters"),
    (b'[{"name": "' + b"n" * 300 + b'"}]', f"v.name{{index=\"0\"}} '{'n' * 300}'"),
    (b"[" + b"1," * 30_000 + b"1]", "fault: the answer has more than 20000 values"),
    (b'"\xff"', "fault: the answer is not UTF-8"),
    (b'"\xed\xa0\x80"', "fault: the answer is not UTF-8"),
]


@pytest.mark.parametrize(("value", "expected"), BIG, ids=range(len(BIG)))
def test_oversized_json_values_have_their_outcome_too(value: bytes, expected: str) -> None:
    """10,000 digits, 100,000 levels, endless lists, bytes that are no text."""
    assert outcome(b'{"v": ' + value + b"}") == expected


def test_other_encodings_of_the_whole_answer() -> None:
    """A byte order mark is passed over; UTF-16 is not guessed at."""
    assert outcome(b'\xef\xbb\xbf{"a": 1}') == "a 1.0"
    assert outcome('{"a": 1}'.encode("utf-16")) == "fault: the answer is not UTF-8"
    assert outcome(b"\x00") == "fault: the answer is not whole JSON (line 1, column 1)"
    assert outcome(b"  \n") == "fault: the answer is empty"


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_crash_the_reader(body: bytes) -> None:
    """Any bytes give fields or a typed refusal."""
    outcome(b'{"v": ' + body + b"}")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from("xyz"), JSON_VALUES, max_size=3))
def test_as_many_samples_as_the_document_has_values(document: dict[str, object]) -> None:
    """No number, truth or text is lost, and none is made up."""
    import json

    def leaves(value: object) -> int:
        if isinstance(value, dict):
            return sum(leaves(each) for each in value.values())
        if isinstance(value, list):
            return sum(leaves(each) for each in value)
        return value is not None

    assert len(read_fields(json.dumps(document).encode())) == leaves(document)


def test_f44_a_large_refusal_is_quick_and_small() -> None:
    """100,000 levels or a million values are refused without building them."""
    for body in (nested(100_000), many_values(200_000), b'{"a":"' + b"x" * 7_000_000 + b'"}'):
        tracemalloc.start()
        outcome(body)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 * 1024 * 1024
