"""Pages of a long list, newest first, that stay quick at a million rows.

Here belong the cursor in the address and the query of one page. A page is cut at a key, not at an offset: no row before
it is read or counted, and a row that arrives meanwhile shifts nothing. The order is by trade date first, so that a page
of any time is the top of a part of one index; within a day by time and id. Each account is asked on its own, since that
index gives one account's newest rows at once, but not several accounts' together.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Self

from django.db.models import Q, QuerySet

from tasty_django.models import Transaction

PAGE_SIZE = 50
NEWEST_FIRST = ("-transaction_date", "-executed_at", "-transaction_id")
# from here on one query over all accounts is shorter than one for each
_MOST_APART = 40
_OLDEST_FIRST = ("transaction_date", "executed_at", "transaction_id")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = re.compile(r"([0-9]{1,7})\.(-?[0-9]{1,19})\.(-?[0-9]{1,19})")
_BIGINT = 2**63


@dataclass(frozen=True)
class Cursor:
    """A place between two rows: just after (older than) the row named, or just before it if `newer`."""

    day: date
    executed_at: datetime
    transaction_id: int
    newer: bool = False

    @classmethod
    def at(cls, row: Transaction, *, newer: bool) -> Self:
        """Return the place beside a row."""
        return cls(row.transaction_date, row.executed_at, row.transaction_id, newer)

    def __str__(self) -> str:
        """The cursor as it stands in an address: number of the day, microseconds since 1970, id."""
        passed = (self.executed_at - _EPOCH) // timedelta(microseconds=1)
        return f"{self.day.toordinal()}.{passed}.{self.transaction_id}"

    @classmethod
    def parse(cls, text: str, *, newer: bool) -> Self:
        """Read a cursor; raises ValueError for what is none."""
        found = _CURSOR.fullmatch(text)
        if found is None:
            raise ValueError("no cursor")
        day, passed, number = map(int, found.groups())
        if abs(number) >= _BIGINT:
            raise ValueError("no row has such an id")
        try:
            return cls(date.fromordinal(day), _EPOCH + timedelta(microseconds=passed), number, newer)
        except (OverflowError, ValueError):
            raise ValueError("no row is of such a time") from None

    def cut(self, rows: QuerySet[Transaction]) -> QuerySet[Transaction]:
        """Return the rows on the cursor's side; the first condition is the one that the index serves."""
        side = "gt" if self.newer else "lt"
        moved = {
            f"transaction_date__{side}": self.day,
            f"executed_at__{side}": self.executed_at,
            f"transaction_id__{side}": self.transaction_id,
        }
        day, moment, number = (Q(condition) for condition in moved.items())
        rows = rows.filter(**{f"transaction_date__{side}e": self.day})
        return rows.filter(day | moment | (Q(executed_at=self.executed_at) & number))


@dataclass(frozen=True)
class Page:
    """The rows of one page, newest first, and where the next ones begin (None: there are none)."""

    rows: Sequence[Transaction]
    newer: Cursor | None
    older: Cursor | None


def _newest(
    rows: QuerySet[Transaction], accounts: Sequence[str], cursor: Cursor | None, size: int
) -> list[Transaction]:
    order = _OLDEST_FIRST if cursor is not None and cursor.newer else NEWEST_FIRST
    if cursor is not None:
        rows = cursor.cut(rows)
    if len(accounts) > _MOST_APART:
        return list(rows.filter(account_id__in=accounts).order_by(*order)[:size])
    first, *others = (rows.filter(account_id=account).order_by(*order)[:size] for account in accounts)
    if not others:
        return list(first)
    return list(first.union(*others, all=True).order_by(*order)[:size])


def page(
    rows: QuerySet[Transaction], accounts: Sequence[str], cursor: Cursor | None = None, size: int = PAGE_SIZE
) -> Page:
    """Return one page of the rows of these accounts, in one query.

    `rows` carries the other filters; `accounts` are those that the user may see.
    """
    if not accounts:
        return Page([], None, None)
    found = _newest(rows, accounts, cursor, size + 1)
    has_more, found = len(found) > size, found[:size]
    backwards = cursor is not None and cursor.newer
    if backwards:
        found.reverse()
    if not found:
        return Page([], None, None)
    has_newer = has_more if backwards else cursor is not None
    has_older = backwards or has_more
    return Page(
        found,
        Cursor.at(found[0], newer=True) if has_newer else None,
        Cursor.at(found[-1], newer=False) if has_older else None,
    )
