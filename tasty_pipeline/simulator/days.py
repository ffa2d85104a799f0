"""Which days are sessions, when they close, and to which day the broker books a moment.

An own New York Stock Exchange calendar: a few rules, so that starting a simulator does not load pandas. A test
compares it with the published one. Prices and instruments do not belong here.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
CHICAGO = ZoneInfo("America/Chicago")
SATURDAY, SUNDAY, FRIDAY = 5, 6, 4
ONE_DAY = timedelta(days=1)
_MOURNING = {date(2018, 12, 5), date(2025, 1, 9)}
_JUNETEENTH_SINCE = 2022
_FUTURES_CLOSE_HOUR = 17
_NOON_HOUR = 12


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    """Return the n-th given weekday of a month, counted from its end if n is negative."""
    if n > 0:
        first = date(year, month, 1)
        return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))
    last = (date(year, month, 28) + timedelta(days=4)).replace(day=1) - ONE_DAY
    return last - timedelta(days=(last.weekday() - weekday) % 7)


def _easter(year: int) -> date:
    """Return Easter Sunday (Gauss; valid for 1900 to 2099)."""
    a, b, c = year % 19, year % 4, year % 7
    d = (19 * a + 24) % 30
    e = (2 * b + 4 * c + 6 * d + 5) % 7
    day = 22 + d + e
    if d == 29 and e == 6:  # noqa: PLR2004 - the two exceptions of the rule
        day -= 7
    if d == 28 and e == 6 and a > 10:  # noqa: PLR2004
        day -= 7
    return date(year, 3, 1) + timedelta(days=day - 1)


def _observed(day: date) -> date:
    """Move a holiday off the weekend: Saturday to Friday, Sunday to Monday."""
    return day - ONE_DAY if day.weekday() == SATURDAY else day + ONE_DAY if day.weekday() == SUNDAY else day


@lru_cache
def _holidays(year: int) -> frozenset[date]:
    new_year = date(year, 1, 1)
    days = {
        # A New Year's Day on a Saturday is not moved into the old year.
        new_year if new_year.weekday() == SATURDAY else _observed(new_year),
        _nth(year, 1, 0, 3),
        _nth(year, 2, 0, 3),
        _easter(year) - timedelta(days=2),
        _nth(year, 5, 0, -1),
        _observed(date(year, 7, 4)),
        _nth(year, 9, 0, 1),
        _nth(year, 11, 3, 4),
        _observed(date(year, 12, 25)),
    }
    if year >= _JUNETEENTH_SINCE:
        days.add(_observed(date(year, 6, 19)))
    return frozenset(days | {day for day in _MOURNING if day.year == year})


@lru_cache(maxsize=20_000)
def is_session(day: date) -> bool:
    """Tell whether the stock exchange trades at any time on the day."""
    return day.weekday() < SATURDAY and day not in _holidays(day.year)


@lru_cache(maxsize=20_000)
def close_hour(day: date) -> int:
    """Return the hour (New York) at which the session of a day ends: 16, or 13 on half days."""
    independence_eve = date(day.year, 7, 3)
    christmas_eve = date(day.year, 12, 24)
    after_thanksgiving = _nth(day.year, 11, 3, 4) + ONE_DAY
    return 13 if day in {independence_eve, christmas_eve, after_thanksgiving} and is_session(day) else 16


@lru_cache(maxsize=20_000)
def previous_session(day: date) -> date:
    """Return the last session before the day."""
    day -= ONE_DAY
    while not is_session(day):
        day -= ONE_DAY
    return day


def next_session(day: date) -> date:
    """Return the first session after the day."""
    day += ONE_DAY
    while not is_session(day):
        day += ONE_DAY
    return day


def days_between(first: date, last: date) -> Iterator[date]:
    """Yield every calendar day from first to last, both included."""
    while first <= last:
        yield first
        first += ONE_DAY


def third_friday(year: int, month: int) -> date:
    """Return the monthly expiration day: the third Friday, or the session before it."""
    day = _nth(year, month, FRIDAY, 3)
    return day if is_session(day) else previous_session(day)


@lru_cache(maxsize=20_000)
def midnight(day: date) -> datetime:
    """Return, in UTC, the moment from which New York clock times of a day's daylight can be counted.

    Noon minus twelve hours: on the two days of a clock change it differs from midnight by the hour that is
    inserted or skipped at two in the morning, and every time used here is later than that.
    """
    noon = datetime.combine(day, time(_NOON_HOUR), NEW_YORK).astimezone(UTC)
    return noon - timedelta(hours=_NOON_HOUR)


def at(day: date, hour: int, minute: int = 0, second: int = 0) -> datetime:
    """Return the UTC moment of a New York clock time."""
    return midnight(day) + timedelta(hours=hour, minutes=minute, seconds=second)


@lru_cache(maxsize=4096)
def _roll_to_session(day: date) -> date:
    return day if is_session(day) else next_session(day)


def futures_date(moment: datetime) -> date:
    """Return the day a futures fill is booked to: after 17:00 in Chicago it is the next session's."""
    local = moment.astimezone(CHICAGO)
    day = local.date()
    return _roll_to_session(day + ONE_DAY if local.hour >= _FUTURES_CLOSE_HOUR else day)


def new_york_date(moment: datetime) -> date:
    """Return the calendar day in New York."""
    return moment.astimezone(NEW_YORK).date()


def friday_after(day: date, least: int) -> date:
    """Return the first Friday (or the session before a holiday Friday) at least so many days after a day."""
    friday = day + timedelta(days=least)
    friday += timedelta(days=(FRIDAY - friday.weekday()) % 7)
    return friday if is_session(friday) else previous_session(friday)
