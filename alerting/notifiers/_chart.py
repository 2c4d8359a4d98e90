"""A picture of a value over time and of what it is held against, as PNG; the only file that knows Pillow.

Shapes are drawn three times too large and made smaller, which is how their edges become smooth; the few words are
written on top. Times are UTC, as in everything that is not shown in a reader's own zone.
"""

from __future__ import annotations

import io
import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from alerting.core.lang.units import format_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alerting.model import Millis, Picture

    _Point = tuple[Millis, float]
    _Spot = tuple[float, float]

_WIDTH, _HEIGHT = 960, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 24, 132, 28, 40  # margins; the right one is for words
_LARGER = 3
_GAP = 3  # times the usual distance between two points: the line is broken there
_PAPER, _INK, _FAINT = "#ffffff", "#1d1c1d", "#9a9a9c"
_LINE, _FILL, _LIMIT = "#1264a3", "#e3eef7", "#d72b3f"
_FONT = 18
_FURTHEST = sys.float_info.max


class _Field(NamedTuple):
    """Where a time and a value lie on the paper."""

    start: Millis
    end: Millis
    low: float
    high: float

    def spot(self, at: Millis, value: float) -> _Spot:
        """Give the place of a point."""
        across = (at - self.start) / max(1, self.end - self.start)
        up = (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)  # halves: the difference may be too large
        x = _LEFT + across * (_WIDTH - _LEFT - _RIGHT)
        return x, _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)


def draw(picture: Picture) -> bytes:
    """Draw a picture that has points."""
    field = _field(picture)
    paper = Image.new("RGB", (_WIDTH * _LARGER, _HEIGHT * _LARGER), _PAPER)
    _shapes(ImageDraw.Draw(paper), picture, field)
    paper = paper.resize((_WIDTH, _HEIGHT), Image.Resampling.LANCZOS)
    _words(ImageDraw.Draw(paper), picture, field)
    file = io.BytesIO()
    paper.save(file, "PNG", optimize=True)
    return file.getvalue()


def _field(picture: Picture) -> _Field:
    """Take in all values and the threshold, with some air around them."""
    values = [value for _, value in picture.points]
    if picture.threshold is not None:
        values.append(picture.threshold)
    low, high = min(values), max(values)
    air = (high / 2 - low / 2) * 0.2 or abs(high) * 0.1 or 1.0
    bottom = 0.0 if 0 <= low < air else low - air
    return _Field(picture.points[0][0], picture.points[-1][0], max(bottom, -_FURTHEST), min(high + air, _FURTHEST))


def _shapes(pen: ImageDraw.ImageDraw, picture: Picture, field: _Field) -> None:
    floor = _HEIGHT - _BOTTOM
    stretches = [[field.spot(at, value) for at, value in stretch] for stretch in _stretches(picture.points)]
    for stretch in stretches:
        pen.polygon(_scaled([(stretch[0][0], floor), *stretch, (stretch[-1][0], floor)]), fill=_FILL)
    pen.line(_scaled([(_LEFT, floor), (_WIDTH - _RIGHT, floor)]), fill=_FAINT, width=_LARGER)
    if picture.threshold is not None:
        _, y = field.spot(field.start, picture.threshold)
        for x in range(_LEFT, _WIDTH - _RIGHT, 14):
            pen.line(_scaled([(x, y), (min(x + 8, _WIDTH - _RIGHT), y)]), fill=_LIMIT, width=2 * _LARGER)
    for stretch in stretches:
        if len(stretch) > 1:
            pen.line(_scaled(stretch), fill=_LINE, width=3 * _LARGER, joint="curve")
        else:
            _dot(pen, stretch[0], 2.5)
    _dot(pen, stretches[-1][-1], 6)


def _dot(pen: ImageDraw.ImageDraw, spot: _Spot, radius: float) -> None:
    x, y = spot
    pen.ellipse(_scaled([(x - radius, y - radius), (x + radius, y + radius)]), fill=_LINE)


def _words(pen: ImageDraw.ImageDraw, picture: Picture, field: _Field) -> None:
    """Write the newest value and the threshold at the right, and when it begins and ends."""
    font, x = ImageFont.load_default(_FONT), _WIDTH - _RIGHT + 14
    at, value = picture.points[-1]
    _, y = field.spot(at, value)
    if picture.threshold is not None:
        _, limit = field.spot(at, picture.threshold)
        if abs(limit - y) < _FONT + 4:  # neither is written over the other
            y, limit = (limit - _FONT - 4, limit) if y <= limit else (limit + _FONT + 4, limit)
        pen.text((x, limit), format_value(picture.threshold, picture.unit), fill=_LIMIT, font=font, anchor="lm")
    pen.text((x, y), format_value(value, picture.unit), fill=_LINE, font=font, anchor="lm")
    below = _HEIGHT - _BOTTOM + 22
    pen.text((_LEFT, below), f"{_clock(field.start)} UTC", fill=_FAINT, font=font, anchor="lm")
    pen.text((_WIDTH - _RIGHT, below), _clock(field.end), fill=_INK, font=font, anchor="rm")


def _stretches(points: Sequence[_Point]) -> Iterator[Sequence[_Point]]:
    """Give the parts of the line: where points are missing it is broken, as nothing is known of what lies between."""
    steps = sorted(later[0] - earlier[0] for earlier, later in pairwise(points))
    usual = steps[len(steps) // 2] if steps else 0
    begin = 0
    for index in range(1, len(points)):
        if points[index][0] - points[index - 1][0] > _GAP * usual:
            yield points[begin:index]
            begin = index
    yield points[begin:]


def _scaled(spots: Sequence[_Spot]) -> list[_Spot]:
    return [(x * _LARGER, y * _LARGER) for x, y in spots]


def _clock(at: Millis) -> str:
    return time.strftime("%H:%M", time.gmtime(at // 1000))
