"""New York days and NYSE sessions: which day it is for the broker, and which session's data is due.

Days are calendar dates in America/New_York, seven days a week; sessions are NYSE trading days with their real close,
half days included (source: pandas_market_calendars).
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")


def new_york_day(now: datetime) -> date:
    """Return the New York date of an aware time; raise `ValueError` for one without a zone."""
    if now.tzinfo is None:
        raise ValueError(f"{now} has no zone, and the machine's own is not New York's")
    return now.astimezone(NEW_YORK).date()


def days(start: date, end: date) -> Iterator[date]:
    """Yield every date from start to end, both included."""
    for offset in range((end - start).days + 1):
        yield start + timedelta(days=offset)


@cache
def _nyse() -> Any:
    import pandas_market_calendars  # noqa: PLC0415 - half a second of import that only calendars need

    return pandas_market_calendars.get_calendar("NYSE")


def sessions(start: date, end: date) -> list[tuple[date, datetime, datetime]]:
    """Return (trade date, open, close) of each NYSE session from start to end, times aware in UTC."""
    table = _nyse().schedule(start, end)
    return [
        (day.date(), opens.to_pydatetime().astimezone(UTC), closes.to_pydatetime().astimezone(UTC))
        for day, opens, closes in zip(table.index, table["market_open"], table["market_close"], strict=True)
    ]


def last_closed_session(now: datetime, grace: timedelta = timedelta(0)) -> tuple[date, datetime]:
    """Return trade date and close of the newest session that closed at least `grace` ago."""
    today = new_york_day(now)
    # the longest closure on record, of September 2001, left six days between two sessions
    first = today - timedelta(days=14) - grace
    closed = [(day, closes) for day, _, closes in sessions(first, today) if closes + grace <= now]
    return closed[-1]


def open_session(now: datetime) -> tuple[datetime, datetime] | None:
    """Return open and close of the session that is going on, or None while the market is closed."""
    today = new_york_day(now)
    for _, opens, closes in sessions(today, today):
        if opens <= now < closes:
            return opens, closes
    return None
