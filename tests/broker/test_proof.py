"""The verdict on answers and on passes, for any rows."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasty_pipeline.core import payloads, schema
from tasty_pipeline.core.broker import contents, proof
from tasty_pipeline.core.broker.contents import Page
from tasty_pipeline.core.broker.proof import Pass, Reading, Verdict
from tasty_pipeline.core.broker.shelf import Receipt, Shelf
from tasty_pipeline.core.broker.windows import Span
from tasty_pipeline.core.spool import Spool

from .ledger import CONTENT, FIRST, LAST, transaction

few = settings(max_examples=60, deadline=None)
DAY = timedelta(days=1)
SPAN = Span(FIRST, LAST)
SPANS = [Span(FIRST + n * DAY, FIRST + n * DAY) for n in range(3)]
keys = st.integers(0, 12)
Ledger = Mapping[int, int]
# a row's value is its price; the third is none that fits, so that the row is rejected
PRICES = ("1.5", "2.5", "odd")
ledger = st.dictionaries(keys, st.integers(0, 2), max_size=8)


def rows_of(part: Ledger) -> list[dict[str, Any]]:
    return [transaction(key, FIRST, price=PRICES[value]) for key, value in part.items()]


def page(rows: Sequence[Any], total: int, offset: int = 0, count: int | None = None) -> Page:
    """Return an answer as it is read; of a number the row of that id."""
    items = [transaction(row, FIRST) if isinstance(row, int) else row for row in rows]
    counts = {"total-items": total, "page-offset": offset, "per-page": 2000}
    counts["current-item-count"] = len(rows) if count is None else count
    body = json.dumps({"data": {"items": items}, "pagination": counts}).encode()
    return contents.read(schema.transactions, body, "A1", "the page")


class Passes:
    """Passes over windows of one shelf, as a read makes them: what answers as before is the same reading."""

    def __init__(self) -> None:
        self.shelf = Shelf(schema.transactions, FIRST, LAST, Spool(CONTENT))

    def of(self, parts: Sequence[Ledger], earlier: Pass | None = None) -> Pass:
        before = earlier.readings if earlier else ()
        readings = [self._reading(span, part) for span, part in zip(SPANS, parts, strict=False)]
        same = {reading.digests: reading for reading in before}
        return Pass(
            tuple(
                old if (old := same.get(reading.digests)) and old.span == reading.span else reading
                for reading in readings
            ),
            datetime.now(UTC),
        )

    def _reading(self, span: Span, part: Ledger) -> Reading:
        found = self.shelf.one_page(span, page(rows_of(part), len(part)))
        assert isinstance(found, Reading)
        return found

    def compare(self, earlier: Pass, later: Pass, before: int = 0, after: int = 99) -> Verdict:
        return proof.compare(schema.transactions, earlier, later, (before, after), self.shelf.content)


@few
@given(earlier=ledger, booked=ledger)
def test_new_rows_alone_never_hold_up_a_proof(earlier: Ledger, booked: Ledger) -> None:
    passes = Passes()
    first = passes.of([earlier])
    verdict = passes.compare(first, passes.of([{**booked, **earlier}], first), len(earlier), len({*booked, *earlier}))
    assert verdict.still
    assert verdict.counted


@few
@given(earlier=ledger, later=ledger)
def test_a_row_lost_or_changed_is_always_noticed(earlier: Ledger, later: Ledger) -> None:
    passes = Passes()
    first = passes.of([earlier])
    verdict = passes.compare(first, passes.of([later], first))
    assert verdict.still == (earlier.items() <= later.items())
    assert verdict.vanished == len(earlier.keys() - later.keys())


windows = st.lists(st.dictionaries(st.integers(0, 4), st.integers(0, 2), max_size=3), min_size=2, max_size=3)


@few
@given(earlier=windows, later=windows, only_news=st.booleans())
def test_a_row_lost_changed_or_in_two_windows_unlike_is_always_noticed(
    earlier: list[Ledger], later: list[Ledger], only_news: bool
) -> None:
    later = (later + earlier)[: len(earlier)]
    if only_news:
        later = [{**new, **old} for old, new in zip(earlier, later, strict=True)]
    passes = Passes()
    first = passes.of(earlier)
    verdict = passes.compare(first, passes.of(later, first))
    kept = all(old.items() <= new.items() for old, new in zip(earlier, later, strict=True))
    news = [new.keys() - old.keys() for old, new in zip(earlier, later, strict=True)]
    torn = any(
        part.get(key, value) != value
        for window, new in zip(later, news, strict=True)
        for key, value in window.items()
        if key in new
        for part in later
    )
    if verdict.still:
        assert kept
        assert not torn
    disjoint = len(set().union(*later)) == sum(map(len, later))
    assert verdict.still or not kept or not disjoint, "rows that only came hold up nothing"
    assert verdict.rows == len(set().union(*later))


@few
@given(rows=st.integers(0, 3), later=ledger)
def test_a_window_that_is_no_longer_as_its_receipt_says_has_to_be_read_twice(rows: int, later: Ledger) -> None:
    passes = Passes()
    known = Receipt(SPANS[0], rows, "digest").reading()
    verdict = passes.compare(Pass((known,), datetime.now(UTC)), passes.of([later]))
    assert verdict.still == (rows == 0), "nobody knows which rows it held"
    same = Pass((known,), datetime.now(UTC))
    assert passes.compare(same, same).rows == rows


@few
@given(rows=ledger, before=st.integers(0, 12), after=st.integers(0, 12), current=st.booleans())
def test_rows_must_lie_between_the_totals(rows: Ledger, before: int, after: int, current: bool) -> None:
    verdict = Verdict(0, 0, len(rows), int(current), before, after)
    assert verdict.counted == (before - current <= len(rows) <= after)
    passes = Passes()
    one = passes.of([rows])
    assert passes.compare(one, one, before, after) == Verdict(0, 0, len(rows), 0, before, after)


@few
@given(ids=st.lists(keys, max_size=8), total=st.integers(0, 9), offset=st.integers(0, 1), count=st.integers(0, 9))
def test_one_page_proves_a_window_only_if_all_its_numbers_agree(
    ids: list[int], total: int, offset: int, count: int
) -> None:
    flaw = proof.flaw_of_one(page(ids, total, offset, count), 0)
    assert (not flaw) == (len(set(ids)) == len(ids) == total == count and offset == 0)


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
        ([page([1, {"id": 2}], 3), page([3], 3, 1)], None),
        ([page([1, {"id": 2}], 3), page([2], 3, 1)], "1 rows on two pages"),
    ],
)
def test_pages_prove_a_window_only_if_they_fit_together(pages: list[Page], flaw: str | None) -> None:
    answer = Passes().shelf.many_pages(SPAN, pages)
    assert isinstance(answer, Reading) if flaw is None else flaw in str(answer)


def key_of(table: Any, row: dict[str, Any]) -> Any:
    (bad,) = payloads.parse(table, [row]).rejected
    return contents.key_of_bad(table, bad)


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ({"id": 5}, 5),
        ({"id": "5"}, 5),
        ({"id": True}, ("no key", '{"id": true}')),
        ({"id": None}, ("no key", '{"id": null}')),
        ({}, ("no key", "{}")),
    ],
)
def test_a_transaction_is_known_by_its_id_alone(row: dict[str, Any], key: Any) -> None:
    assert key_of(schema.transactions, row) == key


SNAPSHOT = {"account-number": "A1", "currency": "USD", "snapshot-date": "2026-01-02", "time-of-day": "EOD"}


def test_a_snapshot_is_known_by_account_currency_day_and_time_good_or_bad() -> None:
    table = schema.balance_snapshots
    good = payloads.parse(table, [SNAPSHOT]).table
    assert contents.keys_of(table, good).to_pylist() == [key_of(table, SNAPSHOT | {"cash-balance": "odd"})]
    for name in SNAPSHOT:
        changed = SNAPSHOT | {name: "2026-01-03" if name == "snapshot-date" else "EUR"}
        assert contents.keys_of(table, payloads.parse(table, [changed]).table) != contents.keys_of(table, good)
        assert key_of(table, {key: value for key, value in SNAPSHOT.items() if key != name})[0] == "no key"


CURRENT = {
    "account-number": "A1",
    "currency": "USD",
    "snapshot-date": "2026-01-01",
    "updated-at": "2026-01-02T15:00:00Z",
}
LOST = {key: value for key, value in SNAPSHOT.items() if key != "time-of-day"}


@pytest.mark.parametrize(
    ("items", "others", "rejected"),
    [([CURRENT], 1, 0), ([LOST], 0, 1), ([LOST | {"updated-at": None}], 0, 1), ([CURRENT, LOST], 0, 2)],
    ids=["it", "a snapshot", "a snapshot with a null", "both"],
)
def test_only_one_balance_that_says_when_it_was_updated_is_the_current_one(
    items: list[dict[str, Any]], others: int, rejected: int
) -> None:
    found = contents.with_lost_snapshots(schema.balance_snapshots, [], items)
    assert (found[1], len(found[0])) == (others, rejected)
