"""A change at any moment of a read is seen or harmless: no row is lost, doubled or stale, with receipts and without."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from itertools import pairwise

import pytest

from tasty_pipeline.core.broker import BrokerConfig, Credentials, ProvenRead, Receipt, connect

from .brokerage import Rows, judged, typed
from .ledger import FIRST, LAST, Ledger, Wireless, on_days
from .loopback import loopback

pytestmark = pytest.mark.anyio
Config = Callable[..., BrokerConfig]

# four rows in each of three windows: the first half of the padded range, and the two halves of the second
DAYS = (1, 5, 9, 14, 21, 24, 28, 31, 34, 36, 38, 39)
LEFT, MIDDLE, RIGHT = (FIRST + timedelta(days=n) for n in (3, 26, 37))
REQUESTS = 11  # the whole, a day, two halves, two quarters; a count, three windows, a count


def first(ledger: Ledger) -> int:
    return min(ledger.rows, key=lambda key: ledger.rows[key]["transaction-date"])


def last(ledger: Ledger) -> int:
    return max(ledger.rows, key=lambda key: ledger.rows[key]["transaction-date"])


def forward_and_back(ledger: Ledger) -> None:
    there, back = first(ledger), last(ledger)
    ledger.redate(there, RIGHT)
    ledger.redate(back, LEFT)


def forward_and_booked(ledger: Ledger) -> None:
    ledger.redate(first(ledger), RIGHT)
    ledger.book(2001, LEFT)


def back_and_booked(ledger: Ledger) -> None:
    ledger.redate(last(ledger), LEFT)
    ledger.book(2001, RIGHT)


def back_and_replaced(ledger: Ledger) -> None:
    """What counting cannot see: one row missed, one withdrawn row kept, one new row makes up the number."""
    ledger.redate(last(ledger), LEFT)
    ledger.remove(first(ledger))
    ledger.book(2001, RIGHT)


CHANGES: dict[str, Callable[[Ledger], None]] = {
    "booked": lambda ledger: ledger.book(2001, MIDDLE),
    "removed": lambda ledger: ledger.remove(last(ledger)),
    "re-dated forward": lambda ledger: ledger.redate(first(ledger), RIGHT),
    "re-dated back": lambda ledger: ledger.redate(last(ledger), LEFT),
    "restated": lambda ledger: ledger.book(first(ledger), LEFT, price="2.5"),
    "forward and back": forward_and_back,
    "forward and booked": forward_and_booked,
    "back and booked": back_and_booked,
    "back and replaced": back_and_replaced,
}


def merged(published: Rows, read: ProvenRead) -> Rows:
    """Return what a table holds that published the one and merges the other."""
    kept = {
        key: row
        for key, row in published.items()
        if any(span.start <= row["transaction_date"] <= span.end for span in read.unchanged)
    }
    found = {row["transaction_id"]: row for row in typed(read)}
    assert len(found) == len(typed(read))
    return kept | found


async def read_at(
    ledger: Ledger, change: Callable[[Ledger], None], moment: int, known: Iterable[Receipt]
) -> tuple[ProvenRead, Rows, Rows]:
    """Read while one change happens just before a certain request; return the read, and the truth before and after."""
    ledger.asked = 0
    before = judged(ledger.rows.values())
    ledger.before = lambda number: change(ledger) if number == moment else None
    read = await Wireless(ledger).whole(known)
    ledger.before = lambda _: None
    return read, before, judged(ledger.rows.values())


def assert_sound(held: Rows, before: Rows, after: Rows) -> None:
    """No row is lost that was there all the time, and none is there that was not."""
    assert before.keys() & after.keys() <= held.keys()
    assert all(row in (before.get(key), after.get(key)) for key, row in held.items())


@pytest.mark.parametrize("kind", CHANGES)
async def test_a_change_at_any_moment_of_a_read_loses_nothing(kind: str) -> None:
    for moment in range(1, REQUESTS + 2):
        ledger = Ledger.of(on_days(*DAYS))
        read, before, after = await read_at(ledger, CHANGES[kind], moment, ())
        held = merged({}, read)
        assert_sound(held, before, after)
        assert held in (before, after) or "and" in kind
        assert moment <= REQUESTS or ledger.asked == REQUESTS


async def test_a_row_that_moves_in_each_pass_while_another_is_booked_is_not_lost() -> None:
    """Missed by both passes: the second has as many rows as were counted, by the new one; the first has too few."""
    ledger = Ledger.of(on_days(*DAYS))
    moved, before = last(ledger), judged(ledger.rows.values())

    def change(number: int) -> None:
        if number == 6:  # the second window of the first pass is read, the third is not
            ledger.redate(moved, MIDDLE)
        elif number == 9:  # the first window of the second pass is read, the second is not
            ledger.redate(moved, LEFT)
            ledger.book(2001, RIGHT)

    ledger.before = change
    held = merged({}, await Wireless(ledger).whole())
    assert before.keys() <= held.keys()
    assert held == judged(ledger.rows.values())


@pytest.mark.parametrize(
    ("kind", "changed"),
    [*((kind, changed) for kind in CHANGES for changed in ("nothing", "left")), ("forward and booked", "right")],
)
async def test_a_change_at_any_moment_of_a_read_with_receipts_loses_nothing(kind: str, changed: str) -> None:
    ledger = Ledger.of(on_days(*DAYS))
    known = await Wireless(ledger).whole()
    published = merged({}, known)
    assert len(known.receipts) == 3
    # a count and three windows; a day, a count, three windows and a count
    requests = 4 if changed == "nothing" else 4 + 6
    for moment in range(1, requests + 2):
        ledger = Ledger.of(on_days(*DAYS))
        if changed != "nothing":
            ledger.book(2000, LEFT if changed == "left" else RIGHT)
        read, before, after = await read_at(ledger, CHANGES[kind], moment, known.receipts)
        assert_sound(merged(published, read), before, after)
        assert moment <= requests or ledger.asked == requests


@pytest.mark.parametrize("bounds", [(0, 1), (1, 0), (1, 1)], ids=["start", "end", "neither"])
async def test_a_booking_at_any_moment_makes_up_for_no_row_at_an_exclusive_bound(bounds: tuple[int, int]) -> None:
    """Windows side by side would lack the rows of the border days in every pass, and only the number would show it."""
    border = 19 if bounds[1] else 20  # the last day of the first half, or the first of the second
    for moment in range(1, 16):
        ledger = Ledger.of(on_days(*DAYS, border), bounds=bounds)
        read, before, after = await read_at(ledger, CHANGES["booked"], moment, ())
        assert_sound(merged({}, read), before, after)


async def test_whether_the_bounds_belong_to_the_range_is_asked_once_a_connection(
    credentials: Credentials, config: Config
) -> None:
    for bounds, overlap in (((0, 0), False), ((0, 1), True), ((1, 1), True)):
        ledger = Ledger.of(on_days(*DAYS), bounds=bounds)
        async with loopback(ledger) as server, connect(credentials, config(server.url)) as broker:
            for _ in range(2):
                read = await broker.transactions("A1", FIRST, LAST)
                assert merged({}, read) == judged(ledger.rows.values())
                assert any(late.start <= early.end for early, late in pairwise(read.windows)) == overlap
            days = [
                asked for asked in server.asked if asked.query and asked.query["start-date"] == asked.query["end-date"]
            ]
            assert len(days) == 1
