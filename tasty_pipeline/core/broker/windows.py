"""Which days are asked for: padding, cutting and overlapping date windows.

Here belongs the arithmetic on days, pure. Why it is right for every meaning of the API's date filter is argued here;
how windows become a proof is argued in `proof.py`.

The API documents `start-date` and `end-date`, but neither which column they read (`executed-at` in UTC, `executed-at`
in New York, or `transaction-date`) nor whether the bounds belong to the range. Whatever the column is, it gives every
row one date d, and the filter keeps the rows with d between the bounds, each inclusive or not. So:

- The wanted range is padded by `PAD_DAYS` on both sides. The dates of one row differ by less: a futures fill after
  17:00 in Chicago belongs to the next trading day, which after a Friday before a long weekend is Tuesday (four days),
  and UTC is at most one day ahead of New York. Seven days keep a margin, also for an exclusive bound.
- A cut at day m makes the windows [a, m-1] and [m, b], which leave nothing out if both bounds belong to the range.
  Whether they do is found out by a window of one day that has rows.
- If they do not, a cut at day m makes the windows [a, m+1] and [m, b]. With inclusive bounds they share two days; with
  one exclusive bound one; with two exclusive bounds they are a+1..m and m+1..b-1, and still no day falls between them.
- A window of one day (overlapping: of three) cannot be cut: it is read by pages.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

PAD_DAYS = 7
PAGE_ROWS = 2000  # the largest page that the API serves; it refuses more
TARGET_ROWS = 1500  # what a cut aims at, so that an uneven history seldom needs a second cut
SMALLEST_DAYS = 3
PAGES_AT_MOST = 5  # more pages in a row are slow, and a row booked late into the first moves all others
MOST_PAGES = 1000  # of one list: two million rows that no window can part are not an account's, but a server's fault


@dataclass(frozen=True, order=True)
class Span:
    """A range of days as it is asked for, both bounds named in the request."""

    start: date
    end: date

    @property
    def days(self) -> int:
        """How many days the bounds embrace, both counted."""
        return (self.end - self.start).days + 1


@dataclass(frozen=True)
class Window:
    """A date window as it was requested and answered: `total` rows in `pages` pages.

    `time_of_day` is BOD or EOD for balance snapshots, None for transactions.
    """

    start: date
    end: date
    total: int
    pages: int
    time_of_day: str | None = None


def padded(start: date, end: date) -> Span:
    """The range to ask for, so that the answer holds every row whose `transaction-date` is from `start` to `end`."""
    pad = timedelta(days=PAD_DAYS)
    return Span(max(start, date.min + pad) - pad, min(end, date.max - pad) + pad)


def cut(span: Span, total: int, *, overlapping: bool = False) -> tuple[Span, ...]:
    """Windows for a span with `total` rows, each smaller than it, in order.

    About as many as make `TARGET_ROWS` each. Side by side they leave no day out if the API's bounds are inclusive;
    overlapping, under any meaning. Empty when the span is to be read by pages instead: it is too short to be cut, or so
    dense that even the smallest windows would not fit a page.
    """
    smallest = SMALLEST_DAYS if overlapping else 1
    shared = 2 if overlapping else 0
    dense = total * smallest > PAGE_ROWS * span.days and total <= PAGES_AT_MOST * PAGE_ROWS
    if span.days <= smallest or dense:
        return ()
    inner = span.days - shared
    count = min(max(-(-total // TARGET_ROWS), 2), inner)
    cuts = [span.start + timedelta(days=i * inner // count) for i in range(1, count)]
    starts = [span.start, *cuts]
    ends = [*(each + timedelta(days=shared - 1) for each in cuts), span.end]
    return tuple(Span(start, end) for start, end in zip(starts, ends, strict=True))


def filled(span: Span, known: Iterable[Span]) -> tuple[Span, ...]:
    """The span as windows side by side: the known ones that lie in it and do not overlap, and what is between them."""
    pieces: list[Span] = []
    day = span.start
    for each in sorted(known):
        if each.start < day or each.end > span.end:
            continue
        if each.start > day:
            pieces.append(Span(day, each.start - timedelta(days=1)))
        pieces.append(each)
        day = each.end + timedelta(days=1)
    if day <= span.end:
        pieces.append(Span(day, span.end))
    return tuple(pieces)


def united(spans: Iterable[Span]) -> list[Span]:
    """Spans that touch or overlap as one, in order."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.start <= found[-1].end + timedelta(days=1):
            found[-1] = Span(found[-1].start, max(span.end, found[-1].end))
        else:
            found.append(span)
    return found
