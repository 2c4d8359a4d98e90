"""The small picture: a PNG that shows the value, what it is held against, and where nothing is known."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from alerting.model import Picture
from alerting.notifiers._chart import _FILL, _PAPER, draw

AT = 1_764_000_000_000
SIZE = (960, 300)


def drawn(picture: Picture) -> Image.Image:
    """Draw it and read the PNG again."""
    image = Image.open(io.BytesIO(draw(picture)))
    image.load()
    assert (image.format, image.size) == ("PNG", SIZE)
    return image.convert("RGB")


def colours(image: Image.Image, x: int) -> set[str]:
    """The colours in one column."""
    return {f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in (image.getpixel((x, y)) for y in range(SIZE[1]))}


def is_red(colour: str) -> bool:
    """The threshold's colour, at the soft edge of a line too."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return red > green + 60 and red > blue + 60


def climbing(*minutes: int) -> tuple[tuple[int, float], ...]:
    """A value that climbs by one a minute, seen at these minutes."""
    return tuple((AT + 60_000 * minute, 50.0 + minute) for minute in minutes)


def test_the_threshold_is_a_line_across() -> None:
    """Where there is one."""
    middle = SIZE[0] // 2
    with_one, without = drawn(Picture(climbing(*range(60)), 80.0, "percent")), drawn(Picture(climbing(*range(60))))
    assert any(is_red(colour) for x in range(middle, middle + 14) for colour in colours(with_one, x))
    assert not any(is_red(colour) for x in range(SIZE[0]) for colour in colours(without, x))


def test_the_line_is_broken_where_nothing_is_known() -> None:
    """Between two points that lie further apart than usual there is bare paper, not a guess."""
    image = drawn(Picture(climbing(*range(20), *range(40, 60))))
    middle = SIZE[0] // 2 - 60
    assert _FILL in colours(image, 100)
    assert colours(image, middle) & {_FILL, _PAPER} == {_PAPER}


def test_a_picture_is_small() -> None:
    """It is sent with each new message."""
    assert len(draw(Picture(climbing(*range(60)), 80.0, "percent"))) < 40_000


_VALUES = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 10**13), _VALUES), min_size=1, max_size=60, unique_by=lambda point: point[0]),
    st.none() | _VALUES,
    st.sampled_from(["", "s", "percent", "bytes", "bytes/s"]),
)
def test_whatever_the_numbers_are_there_is_a_picture(
    points: list[tuple[int, float]], threshold: float | None, unit: str
) -> None:
    """The largest, the smallest, and all the same."""
    drawn(Picture(tuple(sorted(points)), threshold, unit))


@pytest.mark.parametrize("value", [0.0, 5.0, -5.0, 1.7e308, -1.7e308, 5e-324])
def test_a_value_that_never_changes_is_a_line(value: float) -> None:
    """Also on its own threshold."""
    drawn(Picture(tuple((AT + number, value) for number in range(5)), value, "s"))
