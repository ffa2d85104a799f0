"""The equity curve: one value a day and currency, summed over accounts.

Here belongs how end-of-day snapshots of several accounts become one line; drawing it is for charts.py. Where an account
has no snapshot of a day that another one has, its last value counts: a snapshot that is late is not a loss. A closed
account counts until its last snapshot.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from decimal import Decimal, localcontext
from typing import NamedTuple

from tasty_django.figures import EXACT


class Snapshot(NamedTuple):
    """An account's net liquidating value at the end of a day, in one currency."""

    currency: str
    account_number: str
    day: date
    value: Decimal


class Point(NamedTuple):
    """The value of all accounts at the end of a day."""

    day: date
    value: Decimal


def _line(days: Mapping[date, Mapping[str, Decimal]], closed: Collection[str]) -> list[Point]:
    ends: dict[str, date] = {}
    for day in sorted(days):
        ends.update(dict.fromkeys(days[day], day))
    standing: dict[str, Decimal] = {}
    line = []
    for day in sorted(days):
        standing = {
            account: value for account, value in standing.items() if account not in closed or day <= ends[account]
        }
        standing.update(days[day])
        line.append(Point(day, sum(standing.values(), Decimal(0))))
    return line


def lines(snapshots: Iterable[Snapshot], closed: Collection[str], since: date | None = None) -> dict[str, list[Point]]:
    """Return each currency's points, by day.

    Snapshots from before `since` only say where each account stood; their days are no points.
    """
    days: dict[str, dict[date, dict[str, Decimal]]] = defaultdict(lambda: defaultdict(dict))
    for snapshot in snapshots:
        days[snapshot.currency][snapshot.day][snapshot.account_number] = snapshot.value
    with localcontext(EXACT):
        found = {currency: _line(by_day, closed) for currency, by_day in sorted(days.items())}
    if since is not None:
        found = {currency: [point for point in line if point.day >= since] for currency, line in found.items()}
    return {currency: line for currency, line in found.items() if line}
