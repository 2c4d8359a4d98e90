"""From a place in a text to its place in the file: exact however the text is written."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from alerting.config import documents
from alerting.config.placed import place
from alerting.config.spots import problem_of, spot, spot_of_name
from alerting.errors import Diagnostic, Span

WAYS = [
    ("plain", "condition: disk_usage > > 85%", (1, 25)),
    ("in single quotes", "condition: 'it''s > > 85%'", (1, 21)),
    ("in double quotes", 'condition: "a \\"b\\" > > 85%"', (1, 23)),
    ("with a code", 'condition: "a\\x41\\u0041 > > 85%"', (1, 27)),
    ("over two lines", "condition: disk_usage\n  > > 85%", (2, 5)),
    ("as a block", "condition: |\n  disk_usage\n    > > 85%", (3, 7)),
    ("as a block, stripped", "condition: |-  # why\n\n   disk_usage > > 85%", (3, 17)),
    ("folded", "condition: >\n  disk_usage >\n\n  > 85%", (4, 3)),
    ("in quotes over lines", 'condition: "disk_usage \\\n  > > 85%"', (2, 5)),
    ("in a flow mapping", "{alert: A, condition: disk_usage > > 85%}", (1, 36)),
    ("behind wide letters", "{alert: 'é\N{FIRE}', condition: disk_usage > > 85%}", (1, 39)),
]


@pytest.mark.parametrize(("how", "written", "expected"), WAYS, ids=[way for way, *_ in WAYS])
def test_the_second_sign_is_found_where_it_stands(how: str, written: str, expected: tuple[int, int]) -> None:
    """In each way that YAML has to write a text."""
    file = documents.parse(written.encode(), "x.yaml")
    value = file.documents[0].value
    text = value["condition"]
    offset = text.rindex(">")
    problem = problem_of(file, value.value_at("condition"), text, Diagnostic("odd", Span(offset, offset + 1)))
    assert (problem.line, problem.column) == expected
    assert problem.source_line[problem.column - 1] == ">"
    assert problem.width == 1


def test_a_span_is_as_wide_as_it_is_in_the_file() -> None:
    """Up to the line's end where it goes on in the next."""
    file = documents.parse(b"a: one two three\nb: |\n  one two\n  three\n", "x.yaml")
    value = file.documents[0].value
    for key, expected in (("a", (1, 8, 3)), ("b", (3, 7, 3))):
        found = problem_of(file, value.value_at(key), value[key], Diagnostic("odd", Span(4, 7)))
        assert (found.line, found.column, found.width) == expected
    long = problem_of(file, value.value_at("b"), value["b"], Diagnostic("odd", Span(4, 13)))
    assert (long.line, long.column, long.width) == (3, 7, 3)


def test_the_end_of_a_text_is_behind_its_last_letter() -> None:
    """Where a parser expects more."""
    file = documents.parse(b"a: 'one two'\n", "x.yaml")
    value = file.documents[0].value
    assert place(spot(file, value.value_at("a"), "one two", 7)) == (1, 12)


def test_a_name_is_found_in_a_list_and_in_a_text() -> None:
    """As `notify` takes both."""
    file = documents.parse(b"a: slack, pager\nb:\n- slack\n-  pager\n", "x.yaml")
    value = file.documents[0].value
    assert place(spot_of_name(file, value, "a", "pager")) == (1, 11)
    assert place(spot_of_name(file, value, "b", "pager")) == (4, 4)


STYLES = st.sampled_from([None, "'", '"', "|", ">"])
TEXTS = st.text(alphabet="abé\N{FIRE}'\"\\> :#-\t\n", min_size=1, max_size=60)


@given(TEXTS, STYLES, st.integers(8, 60), st.booleans())
def test_every_letter_is_found_however_a_library_writes_it(text: str, style: str, width: int, raw: bool) -> None:
    """PyYAML writes the text in all its styles; the letter that is found is the one that is meant."""
    written = yaml.dump({"key": text}, default_style=style, width=width, allow_unicode=raw)
    file = documents.parse(written.encode(), "x.yaml")
    value = file.documents[0].value
    assert value == {"key": text}
    for offset, letter in enumerate(text):
        if not letter.isspace():
            line, column = place(spot(file, value.value_at("key"), text, offset))
            found = file.line(line - 1)[column - 1]
            assert found in (letter, "\\"), (written, offset)
