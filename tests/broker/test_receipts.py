"""What was proven before is asked for and not read again, as long as everything answers as it did then."""

import hashlib
from datetime import date, timedelta

import pyarrow as pa
import pytest

from tasty_pipeline.core.broker import Receipt, Span
from tasty_pipeline.core.spool import Spool

from .brokerage import judged, typed
from .ledger import CONTENT, FIRST, LAST, Ledger, Row, Wireless, on_days, transaction

pytestmark = pytest.mark.anyio

# four rows in each of three windows
DAYS = (1, 5, 9, 14, 21, 24, 28, 31, 34, 36, 38, 39)
WINDOWS = 3
PAD = timedelta(days=7)
NEWS = FIRST + timedelta(days=26)


async def test_where_every_window_answers_as_it_did_nothing_is_read_and_one_pass_is_enough() -> None:
    listing = Wireless(Ledger.of(on_days(*DAYS)))
    known = await listing.whole()
    assert [receipt.rows for receipt in known.receipts] == [4, 4, 4]
    assert known.unchanged == ()
    listing.ledger.asked = 0
    read = await listing.whole(known.receipts)
    assert listing.ledger.asked == 1 + WINDOWS
    assert typed(read) == []
    assert read.days == {}
    assert read.receipts == ()
    assert read.unchanged == tuple(receipt.span for receipt in known.receipts)
    assert [window.total for window in read.windows] == [4, 4, 4]


async def test_an_answer_as_before_is_not_even_looked_into() -> None:
    class Sealed(Wireless):
        async def fetch(self, span: Span, offset: int, size: int) -> bytes:
            return b"sealed" if size > 1 else await super().fetch(span, offset, size)

    span = Span(FIRST - PAD, LAST + PAD)
    receipt = Receipt(span, len(DAYS), hashlib.sha256(b"sealed").hexdigest())
    read = await Sealed(Ledger.of(on_days(*DAYS))).whole([receipt])
    assert read.unchanged == (span,)


async def test_only_the_window_that_changed_is_read_in_two_passes_and_gets_a_new_receipt() -> None:
    listing = Wireless(Ledger.of(on_days(*DAYS)))
    known = await listing.whole()
    left, middle, right = known.receipts
    listing.ledger.book(2000, NEWS)
    listing.ledger.asked = 0
    read = await listing.whole(known.receipts)
    assert listing.ledger.asked == 1 + WINDOWS + (1 + WINDOWS + 1)  # a count, a pass; a pass between two counts
    inside = listing.ledger.between(str(middle.span.start), str(middle.span.end))
    assert {row["transaction_id"]: row for row in typed(read)} == judged(inside)
    assert sum(rows for rows, _ in read.days.values()) == 5
    assert read.unchanged == (left.span, right.span)
    (renewed,) = read.receipts
    assert (renewed.span, renewed.rows) == (middle.span, 5)
    listing.ledger.asked = 0
    again = await listing.whole([left, renewed, right])
    assert listing.ledger.asked == 1 + WINDOWS
    assert len(again.unchanged) == WINDOWS


@pytest.mark.parametrize("lost", range(WINDOWS))
async def test_days_without_a_receipt_are_read_and_nothing_else(lost: int) -> None:
    listing = Wireless(Ledger.of(on_days(*DAYS)))
    known = await listing.whole()
    kept = [receipt for n, receipt in enumerate(known.receipts) if n != lost]
    read = await listing.whole(kept)
    assert read.unchanged == tuple(receipt.span for receipt in kept)
    assert len(typed(read)) == 4
    assert read.receipts == (known.receipts[lost],)


async def test_a_count_that_is_not_that_of_the_receipts_asks_for_a_second_pass() -> None:
    listing = Wireless(Ledger.of(on_days(*DAYS)))
    known = await listing.whole()
    late = transaction(2000, NEWS)

    def meddle(number: int) -> None:
        if number == 1:
            listing.ledger.rows[2000] = late
        elif number == 2:  # it was counted, and no window shows it
            listing.ledger.remove(2000)

    listing.ledger.asked, listing.ledger.before = 0, meddle
    read = await listing.whole(known.receipts)
    held = {row["transaction_id"]: row for row in typed(read)}
    assert listing.ledger.asked > 1 + WINDOWS
    assert read.unchanged or held == judged(listing.ledger.rows.values())
    listing.ledger.before = lambda _: None
    listing.ledger.book(2001, NEWS)
    again = await listing.whole(known.receipts)
    assert len(again.unchanged) == WINDOWS - 1, "one odd count is not remembered as an odd filter"


def by_time() -> tuple[Ledger, Row]:
    """Return a ledger whose filter reads the time of execution, and a row in it that is of the day before then."""
    border = FIRST + timedelta(days=20)
    night = transaction(2000, border - timedelta(days=1), **{"executed-at": f"{border}T01:00:00.000+00:00"})
    return Ledger.of([*on_days(*DAYS), night], by="executed-at"), night


async def test_a_filter_that_lets_through_rows_of_other_days_gives_no_receipts() -> None:
    ledger, _ = by_time()
    read = await Wireless(ledger).whole()
    assert {row["transaction_id"]: row for row in typed(read)} == judged(ledger.rows.values())
    assert read.receipts == ()


@pytest.mark.parametrize("moment", range(11))
async def test_where_a_filter_turns_out_to_be_inexact_all_is_read_without_receipts(moment: int) -> None:
    ledger, night = by_time()
    ledger.remove(2000)
    listing = Wireless(ledger)
    known = await listing.whole()
    assert len(known.receipts) == WINDOWS
    ledger.book(2001, LAST)

    def meddle(number: int) -> None:
        if number == moment:
            ledger.rows[2000] = night

    ledger.asked, ledger.before = 0, meddle
    meddle(0)
    read = await listing.whole(known.receipts)
    held = {row["transaction_id"]: row for row in typed(read)}
    if 2000 in held:
        assert held == judged(ledger.rows.values())
        assert not read.unchanged
        assert not read.receipts
    else:
        assert moment > 1
        assert len(read.unchanged) == WINDOWS - 1


async def test_windows_with_odd_rows_or_many_pages_get_no_receipt_and_the_others_do() -> None:
    rows = on_days(*DAYS)
    rows[0]["net-value"] = "odd"
    busy = [transaction(3000 + n, FIRST + timedelta(days=36)) for n in range(12)]
    listing = Wireless(Ledger.of([*rows, *busy]))
    read = await listing.whole()
    assert len(read.rejected) == 1
    assert max(window.pages for window in read.windows) > 1
    kept = {receipt.span for receipt in read.receipts}
    spans = {Span(window.start, window.end): window.pages for window in read.windows}
    odd = {span for span, pages in spans.items() if pages > 1 or span.start <= FIRST + timedelta(days=1) <= span.end}
    assert kept == spans.keys() - odd
    again = await listing.whole(read.receipts)
    assert {*again.unchanged} == kept
    assert len(again.rejected) == 1


async def test_what_fits_one_page_gets_no_receipt() -> None:
    read = await Wireless(Ledger.of(on_days(1, 2))).whole()
    assert not read.receipts
    assert len(typed(read)) == 2


@pytest.mark.parametrize("rows_in_memory", [1, 3, 1000])
async def test_rows_too_many_for_memory_come_back_whole_and_replaced_ones_do_not(rows_in_memory: int) -> None:
    ledger = Ledger.of(on_days(*DAYS))

    def meddle(number: int) -> None:
        if number in {7, 13}:  # in the second pass, and in the third
            ledger.book(900, date(2025, 3, 5), price=str(number))

    ledger.before = meddle
    with Spool(CONTENT, rows_in_memory) as spool:
        read = await Wireless(ledger).whole(spool=spool)
        assert bool(read.rows.files) == (rows_in_memory < len(DAYS))
        assert {row["transaction_id"]: row for row in typed(read)} == judged(ledger.rows.values())
        assert len(typed(read)) == read.rows.num_rows + read.outside.num_rows == len(DAYS)


async def test_an_answer_that_says_the_same_again_is_put_away_once() -> None:
    class Counting(Spool):
        added = 0

        def add(self, rows: pa.Table) -> int:
            self.added += 1
            return super().add(rows)

    with Counting(CONTENT) as spool:
        read = await Wireless(Ledger.of(on_days(*DAYS))).whole(spool=spool)
        assert len(read.windows) == spool.added == WINDOWS
