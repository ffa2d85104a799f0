"""The arithmetic of windows, for any input."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasty_pipeline.core.broker import windows
from tasty_pipeline.core.broker.windows import Span

few = settings(max_examples=60, deadline=None)
DAY = timedelta(days=1)
dates = st.dates(date(2000, 1, 1), date(2040, 1, 1))
spans = st.builds(lambda start, days: Span(start, start + days * DAY), dates, st.integers(0, 4000))
totals = st.integers(2001, 2_000_000)
BOUNDS = {"both": (0, 0), "start": (0, 1), "end": (1, 0), "neither": (1, 1)}


def covered(span: Span, bounds: tuple[int, int]) -> range:
    """The days that a filter with such bounds lets through, as ordinals."""
    return range(span.start.toordinal() + bounds[0], span.end.toordinal() + 1 - bounds[1])


@pytest.mark.parametrize("bounds", BOUNDS.values(), ids=BOUNDS)
@few
@given(span=spans, total=totals)
def test_an_overlapping_cut_leaves_no_day_out_and_adds_none(bounds: tuple[int, int], span: Span, total: int) -> None:
    pieces = windows.cut(span, total, overlapping=True)
    if pieces:
        found = set().union(*(covered(piece, bounds) for piece in pieces))
        assert found == set(covered(span, bounds))


@few
@given(span=spans, total=totals)
def test_a_cut_side_by_side_holds_every_day_once(span: Span, total: int) -> None:
    pieces = windows.cut(span, total)
    if pieces:
        assert [day for piece in pieces for day in covered(piece, BOUNDS["both"])] == list(
            covered(span, BOUNDS["both"])
        )


@few
@given(span=spans, total=totals, overlapping=st.booleans())
def test_every_piece_is_smaller_and_long_enough(span: Span, total: int, overlapping: bool) -> None:
    pieces = windows.cut(span, total, overlapping=overlapping)
    assert len(pieces) != 1
    assert all((windows.SMALLEST_DAYS if overlapping else 1) <= piece.days < span.days for piece in pieces)
    assert len(pieces) <= max(2, -(-total // windows.TARGET_ROWS))


@few
@given(span=spans, total=totals, overlapping=st.booleans())
def test_only_short_or_dense_spans_are_not_cut(span: Span, total: int, overlapping: bool) -> None:
    smallest = windows.SMALLEST_DAYS if overlapping else 1
    if not windows.cut(span, total, overlapping=overlapping):
        assert span.days <= smallest or total / span.days > windows.PAGE_ROWS / smallest
        assert span.days <= smallest or total <= windows.PAGES_AT_MOST * windows.PAGE_ROWS


short = st.builds(
    lambda start, days: Span(start, start + days * DAY),
    st.dates(date(2026, 1, 1), date(2026, 3, 1)),
    st.integers(0, 40),
)


@few
@given(span=short, known=st.lists(short, max_size=6))
def test_a_span_is_filled_side_by_side_with_what_is_known_and_the_rest(span: Span, known: list[Span]) -> None:
    pieces = windows.filled(span, known)
    assert [day for piece in pieces for day in covered(piece, BOUNDS["both"])] == list(covered(span, BOUNDS["both"]))
    unknown = [piece for piece in pieces if piece not in known]
    assert not any(right.start - left.end == DAY for left, right in pairwise(unknown))


@few
@given(span=short, data=st.data())
def test_known_windows_that_fill_a_span_are_all_taken(span: Span, data: st.DataObject) -> None:
    cuts = data.draw(st.sets(st.dates(span.start, span.end), max_size=5)) - {span.start}
    starts = [span.start, *sorted(cuts)]
    known = [
        Span(start, end) for start, end in zip(starts, [*(day - DAY for day in starts[1:]), span.end], strict=True)
    ]
    assert list(windows.filled(span, data.draw(st.permutations(known)))) == known


@few
@given(parts=st.lists(short, max_size=6))
def test_united_spans_hold_the_same_days_and_lie_apart(parts: list[Span]) -> None:
    found = windows.united(parts)
    days = set().union(*(covered(part, BOUNDS["both"]) for part in parts))
    assert [day for span in found for day in covered(span, BOUNDS["both"])] == sorted(days)
    assert all(right.start - left.end > DAY for left, right in pairwise(found))


@pytest.mark.parametrize("bounds", BOUNDS.values(), ids=BOUNDS)
@few
@given(start=dates, days=st.integers(0, 3000), inside=st.integers(0, 3000), shift=st.integers(-5, 5))
def test_the_pad_lets_every_wanted_row_through(
    bounds: tuple[int, int], start: date, days: int, inside: int, shift: int
) -> None:
    end = start + days * DAY
    transaction_date = start + min(inside, days) * DAY
    read_by_the_filter = transaction_date + shift * DAY
    assert read_by_the_filter.toordinal() in covered(windows.padded(start, end), bounds)


def test_the_pad_stops_at_the_ends_of_the_calendar() -> None:
    assert windows.padded(date.min, date.max) == Span(date.min, date.max)
