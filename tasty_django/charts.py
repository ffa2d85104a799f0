"""The geometry of the equity curve: what the template needs to draw it as inline SVG.

Here belong scales, ticks and paths; the words and elements stand in the template `tasty_django/curve.html`. The drawing
has no width of its own: it is placed in percent, so that text keeps its size on a phone, and styled by classes only, so
that a strict Content-Security-Policy may forbid inline styles.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from itertools import pairwise
from typing import NamedTuple

from tasty_django.equity import Point
from tasty_django.figures import EXACT

# the drawing's height in pixels, and the room above the plot for what a pointer reads
HEIGHT, TOP = 220, 24
# the plot's own coordinates, stretched to its width
_WIDE = 1000
_MAX_DRAWN = 500
_MAX_READ = 90
_MAX_ROWS = 70
_MAX_LINES = 5
_LABELS = 5


class Tick(NamedTuple):
    """A place on an axis, in percent (x) or pixels (y), and what stands there."""

    at: str
    value: Decimal | date
    anchor: str = "middle"


class Reading(NamedTuple):
    """A strip of the plot, in percent, that tells the value of its day; `x` and `y` are the point on the line."""

    left: str
    width: str
    x: str
    y: str
    point: Point


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Everything that the template draws, and the same as rows of a table."""

    currency: str
    first: Point
    last: Point
    low: Point
    high: Point
    change: Decimal
    share: Decimal | None
    path: str
    area: str
    lines: Sequence[Tick]
    ticks: Sequence[Tick]
    readings: Sequence[Reading]
    rows: Sequence[Point]
    rows_are_months: bool
    height: int = HEIGHT
    top: int = TOP


def _step(span: Decimal) -> Decimal:
    """Return a round distance between grid lines, so that there are at most five of them."""
    raw = span / (_MAX_LINES - 1)
    size = Decimal(1).scaleb(raw.adjusted())
    return next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw)


def _scale(low: Decimal, high: Decimal) -> list[Decimal]:
    """Return the values of the grid lines, from the lowest to the highest; they hold all points between them."""
    if low == high:
        room = max(abs(low) / 10, Decimal(1))
        low, high = low - room, high + room
    step = _step(high - low)
    bottom = (low / step).to_integral_value(ROUND_FLOOR)
    top = (high / step).to_integral_value(ROUND_CEILING)
    return [step * number for number in range(int(bottom), int(top) + 1)]


def _thinned(points: Sequence[Point], most: int) -> list[Point]:
    """Return at most `most` points, evenly taken, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    return [points[index * (len(points) - 1) // (most - 1)] for index in range(most)]


class _Plane:
    """From days and values to places in the drawing."""

    def __init__(self, points: Sequence[Point], grid: Sequence[Decimal]) -> None:
        self._first = points[0].day
        self._days = max((points[-1].day - points[0].day).days, 1)
        self._bottom, self._top = grid[0], grid[-1]

    def x(self, day: date, wide: int = 100) -> Decimal:
        return Decimal((day - self._first).days) * wide / self._days

    def y(self, value: Decimal) -> Decimal:
        return (self._top - value) * HEIGHT / (self._top - self._bottom)


def _number(value: Decimal) -> str:
    return f"{value:.2f}"


def _path(plane: _Plane, points: Sequence[Point]) -> tuple[str, str]:
    places = [f"{_number(plane.x(point.day, _WIDE))} {_number(plane.y(point.value))}" for point in points]
    line = "M" + "L".join(places)
    end = _number(plane.x(points[-1].day, _WIDE))
    return line, f"{line}L{end} {HEIGHT}L0 {HEIGHT}Z"


def _ticks(plane: _Plane, points: Sequence[Point]) -> list[Tick]:
    first, days = points[0].day, (points[-1].day - points[0].day).days
    count = min(_LABELS, days + 1)
    if count == 1:
        return [Tick("0", first, "start")]
    marked = [first + timedelta(days=days * index // (count - 1)) for index in range(count)]
    anchors = ["start", *["middle"] * (count - 2), "end"]
    return [Tick(_number(plane.x(day)), day, anchor) for day, anchor in zip(marked, anchors, strict=True)]


def _readings(plane: _Plane, points: Sequence[Point]) -> list[Reading]:
    read = _thinned(points, _MAX_READ)
    at = [plane.x(point.day) for point in read]
    edges = [Decimal(0), *((left + right) / 2 for left, right in pairwise(at)), Decimal(100)]
    return [
        Reading(
            _number(edges[index]),
            _number(edges[index + 1] - edges[index]),
            _number(at[index]),
            _number(plane.y(point.value) + TOP),
            point,
        )
        for index, point in enumerate(read)
    ]


def _rows(points: Sequence[Point]) -> tuple[list[Point], bool]:
    if len(points) <= _MAX_ROWS:
        return list(reversed(points)), False
    months = {(point.day.year, point.day.month): point for point in points}
    return list(reversed(months.values())), True


def curve(currency: str, points: Sequence[Point]) -> Curve:
    """Return the drawing of a line of at least one point, ordered by day."""
    with localcontext(EXACT):
        low, high = min(points, key=lambda p: p.value), max(points, key=lambda p: p.value)
        grid = _scale(low.value, high.value)
        plane = _Plane(points, grid)
        drawn = sorted({*_thinned(points, _MAX_DRAWN), low, high})
        path, area = _path(plane, drawn)
        first, last = points[0], points[-1]
        change = last.value - first.value
        rows, rows_are_months = _rows(points)
        return Curve(
            currency=currency,
            first=first,
            last=last,
            low=low,
            high=high,
            change=change,
            share=change * 100 / abs(first.value) if first.value else None,
            path=path,
            area=area,
            lines=[Tick(_number(plane.y(value) + TOP), value) for value in grid],
            ticks=_ticks(plane, points),
            readings=_readings(plane, points),
            rows=rows,
            rows_are_months=rows_are_months,
        )
