"""The arithmetic of windows and the verdict on passes, for any input."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasty_pipeline.core.broker import proof, windows
from tasty_pipeline.core.broker.decode import Page
from tasty_pipeline.core.broker.proof import Collection, Key, Reading, Row
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
def test_a_cut_leaves_no_day_out_and_adds_none(bounds: tuple[int, int], span: Span, total: int) -> None:
    pieces = windows.cut(span, total)
    if pieces:
        found = set().union(*(covered(piece, bounds) for piece in pieces))
        assert found == set(covered(span, bounds))


@few
@given(span=spans, total=totals)
def test_every_piece_is_smaller_and_long_enough(span: Span, total: int) -> None:
    pieces = windows.cut(span, total)
    assert len(pieces) != 1
    assert all(windows.SMALLEST_DAYS <= piece.days < span.days for piece in pieces)
    assert len(pieces) <= max(2, -(-total // windows.TARGET_ROWS))


@few
@given(span=spans, total=totals)
def test_only_short_or_dense_spans_are_not_cut(span: Span, total: int) -> None:
    if not windows.cut(span, total):
        assert span.days <= windows.SMALLEST_DAYS or total / span.days > windows.PAGE_ROWS / windows.SMALLEST_DAYS
        assert span.days <= windows.SMALLEST_DAYS or total <= windows.PAGES_AT_MOST * windows.PAGE_ROWS


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


keys = st.integers(0, 12)
ledger = st.dictionaries(keys, st.integers(0, 2), max_size=10)


def collection(*parts: dict[int, int], others: int = 0, known: dict[Key, Row] | None = None) -> Collection:
    span = Span(date(2026, 1, 1), date(2026, 1, 9))
    readings = [
        Reading(span, {(key,): {"id": key, "value": value} for key, value in part.items()}, len(part), 1, others)
        for part in parts
    ]
    return proof.merged(readings, known or {}, datetime.now(UTC))


@few
@given(earlier=ledger, booked=ledger)
def test_new_rows_alone_never_hold_up_a_proof(earlier: dict[int, int], booked: dict[int, int]) -> None:
    later = booked | earlier
    verdict = proof.compare(collection(earlier), collection(later), len(earlier), len(later))
    assert verdict.still
    assert verdict.counted


@few
@given(earlier=ledger, later=ledger)
def test_a_row_lost_or_changed_is_always_noticed(earlier: dict[int, int], later: dict[int, int]) -> None:
    verdict = proof.compare(collection(earlier), collection(later), len(later), len(later))
    assert verdict.still == (earlier.items() <= later.items())
    assert verdict.vanished == len(earlier.keys() - later.keys())


@few
@given(left=ledger, right=ledger)
def test_windows_that_disagree_about_a_row_are_noticed(left: dict[int, int], right: dict[int, int]) -> None:
    both = collection(left, right)
    assert both.torn == {(key,) for key in left.keys() & right.keys() if left[key] != right[key]}
    assert both.rows.keys() == {(key,) for key in left.keys() | right.keys()}
    assert proof.compare(collection(), both, 0, 99).still == (not both.torn)


@few
@given(rows=ledger, before=st.integers(0, 12), after=st.integers(0, 12), others=st.integers(0, 1))
def test_rows_must_lie_between_the_totals(rows: dict[int, int], before: int, after: int, others: int) -> None:
    one = collection(rows, others=others)
    assert proof.compare(one, one, before, after).counted == (before - others <= len(rows) <= after)


@few
@given(first=ledger, second=ledger)
def test_rows_that_did_not_change_are_kept_once(first: dict[int, int], second: dict[int, int]) -> None:
    known = collection(first)
    again = collection(second, known=dict(known.rows))
    assert again.rows == collection(second).rows
    for key, row in again.rows.items():
        if known.rows.get(key) == row:
            assert row is known.rows[key]


SPAN = Span(date(2026, 1, 1), date(2026, 1, 9))


def page(ids: list[int], total: int, offset: int = 0, count: int | None = None) -> Page:
    items = tuple({"id": each} for each in ids)
    return Page(items, total, offset, 2000, len(ids) if count is None else count)


@few
@given(ids=st.lists(keys, max_size=8), total=st.integers(0, 9), offset=st.integers(0, 1), count=st.integers(0, 9))
def test_one_page_proves_a_window_only_if_all_its_numbers_agree(
    ids: list[int], total: int, offset: int, count: int
) -> None:
    answer = proof.as_one_answer(SPAN, page(ids, total, offset, count), proof.transaction_key)
    fits = len(set(ids)) == len(ids) == total == count and offset == 0
    assert isinstance(answer, Reading) == fits


@pytest.mark.parametrize(
    ("pages", "flaw"),
    [
        ([page([1, 2], 3), page([3], 3, 1)], None),
        ([page([1, 2], 3), page([3, 4], 4, 1)], None),
        ([page([1, 2], 3), page([2], 3, 1)], "1 rows on two pages"),
        ([page([1, 2], 4), page([4], 3, 1)], "totals that fall"),
        ([page([1, 2], 4), page([3], 4, 1)], "3 rows where the total says 4"),
        ([page([1, 2], 3), page([3], 3, 2)], "out of order"),
        ([page([1, 2], 3), page([3], 3, 1, 2)], "2 were announced"),
    ],
)
def test_pages_prove_a_window_only_if_they_fit_together(pages: list[Page], flaw: str | None) -> None:
    answer = proof.as_pages(SPAN, pages, proof.transaction_key)
    assert isinstance(answer, Reading) if flaw is None else flaw in str(answer)


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ({"id": 5}, (5,)),
        ({"id": "5"}, (5,)),
        ({"id": True}, ("no key", '{"id": true}')),
        ({"id": None}, ("no key", '{"id": null}')),
        ({}, ("no key", "{}")),
    ],
)
def test_a_transaction_is_known_by_its_id_alone(row: Row, key: Key) -> None:
    assert proof.transaction_key(row) == key


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ({"snapshot-date": "2026-01-02", "time-of-day": "EOD", "currency": "USD"}, ("2026-01-02", "EOD", "USD")),
        ({"snapshot-date": "2026-01-02", "time-of-day": "EOD"}, ("2026-01-02", "EOD", None)),
        ({"snapshot-date": "2026-01-02"}, None),
        ({"time-of-day": "EOD"}, ("no key", '{"time-of-day": "EOD"}')),
    ],
)
def test_a_snapshot_is_known_by_day_time_and_currency(row: Row, key: Key | None) -> None:
    assert proof.snapshot_key(row) == key
