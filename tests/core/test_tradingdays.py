"""New York days and NYSE sessions, at the edges: midnights, both clock changes, holidays, half days."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasty_pipeline.core.tradingdays import (
    NEW_YORK,
    days,
    last_closed_session,
    new_york_day,
    open_session,
    sessions,
)

# pandas_market_calendars 5.5 with pandas 3: theirs to mend, and of no effect
pytestmark = pytest.mark.filterwarnings("ignore:Series.dt.weekday is deprecated")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def new_york(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=NEW_YORK).astimezone(UTC)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (utc(2026, 7, 2, 0, 0), date(2026, 7, 1)),
        (utc(2026, 7, 2, 3, 59, 59), date(2026, 7, 1)),
        (utc(2026, 7, 2, 4, 0), date(2026, 7, 2)),
        (utc(2026, 1, 2, 4, 59, 59), date(2026, 1, 1)),
        (utc(2026, 1, 2, 5, 0), date(2026, 1, 2)),
        # the clocks change on 8 March and 1 November 2026
        (utc(2026, 3, 8, 4, 59), date(2026, 3, 7)),
        (utc(2026, 3, 8, 5, 0), date(2026, 3, 8)),
        (utc(2026, 3, 9, 3, 59), date(2026, 3, 8)),
        (utc(2026, 3, 9, 4, 0), date(2026, 3, 9)),
        (utc(2026, 11, 1, 4, 0), date(2026, 11, 1)),
        (utc(2026, 11, 2, 4, 59), date(2026, 11, 1)),
        (utc(2026, 11, 2, 5, 0), date(2026, 11, 2)),
    ],
)
def test_a_day_begins_at_midnight_in_new_york(moment: datetime, day: date) -> None:
    assert new_york_day(moment) == day


@given(st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1), timezones=st.timezones()))  # noqa: DTZ001 - the zone follows
def test_the_day_does_not_depend_on_the_zone_it_is_told_in(moment: datetime) -> None:
    assert new_york_day(moment) == new_york_day(moment.astimezone(UTC))


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        new_york_day(datetime(2026, 7, 1))  # noqa: DTZ001 - that is the point


def test_days_count_both_ends_and_every_weekday() -> None:
    assert list(days(date(2026, 2, 27), date(2026, 3, 2))) == [
        date(2026, 2, 27),
        date(2026, 2, 28),
        date(2026, 3, 1),
        date(2026, 3, 2),
    ]
    assert list(days(date(2026, 3, 1), date(2026, 3, 1))) == [date(2026, 3, 1)]
    assert list(days(date(2026, 3, 2), date(2026, 3, 1))) == []


def test_sessions_leave_out_weekends_and_holidays() -> None:
    # Independence Day falls on a Saturday and is kept on Friday the 3rd
    assert [day for day, _, _ in sessions(date(2026, 7, 1), date(2026, 7, 7))] == [
        date(2026, 7, 1),
        date(2026, 7, 2),
        date(2026, 7, 6),
        date(2026, 7, 7),
    ]
    assert sessions(date(2026, 7, 4), date(2026, 7, 5)) == []
    assert sessions(date(2026, 11, 26), date(2026, 11, 26)) == [], "Thanksgiving"


def test_the_day_after_thanksgiving_closes_at_one() -> None:
    assert sessions(date(2026, 11, 25), date(2026, 11, 27)) == [
        (date(2026, 11, 25), new_york(2026, 11, 25, 9, 30), new_york(2026, 11, 25, 16)),
        (date(2026, 11, 27), new_york(2026, 11, 27, 9, 30), new_york(2026, 11, 27, 13)),
    ]


@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        (date(2026, 3, 6), utc(2026, 3, 6, 14, 30), utc(2026, 3, 6, 21)),
        (date(2026, 3, 9), utc(2026, 3, 9, 13, 30), utc(2026, 3, 9, 20)),
        (date(2026, 10, 30), utc(2026, 10, 30, 13, 30), utc(2026, 10, 30, 20)),
        (date(2026, 11, 2), utc(2026, 11, 2, 14, 30), utc(2026, 11, 2, 21)),
    ],
)
def test_sessions_follow_the_clocks_of_new_york(day: date, opens: datetime, closes: datetime) -> None:
    assert sessions(day, day) == [(day, opens, closes)]
    assert sessions(day, day)[0][1].tzinfo is UTC


@pytest.mark.parametrize(
    ("now", "day"),
    [
        (new_york(2026, 7, 2, 15, 59, 59), date(2026, 7, 1)),
        (new_york(2026, 7, 2, 16), date(2026, 7, 2)),
        (new_york(2026, 7, 2, 23, 59), date(2026, 7, 2)),
        (new_york(2026, 7, 3, 18), date(2026, 7, 2)),
        (new_york(2026, 7, 5, 12), date(2026, 7, 2)),
        (new_york(2026, 7, 6, 9, 31), date(2026, 7, 2)),
        (new_york(2026, 11, 26, 20), date(2026, 11, 25)),
        (new_york(2026, 11, 27, 12, 59), date(2026, 11, 25)),
        (new_york(2026, 11, 27, 13), date(2026, 11, 27)),
        (new_york(2001, 9, 16, 12), date(2001, 9, 10)),
    ],
)
def test_the_last_closed_session_is_the_one_whose_data_is_due(now: datetime, day: date) -> None:
    closed, closes = last_closed_session(now)
    assert closed == day
    assert closes <= now


def test_a_session_is_due_only_after_its_grace() -> None:
    close = new_york(2026, 11, 27, 13)
    grace = timedelta(hours=2)
    assert last_closed_session(close + grace, grace) == (date(2026, 11, 27), close)
    assert last_closed_session(close + grace - timedelta(seconds=1), grace)[0] == date(2026, 11, 25)


@pytest.mark.parametrize("length", [timedelta(days=1), timedelta(days=14), timedelta(days=60)])
def test_a_long_grace_looks_further_back(length: timedelta) -> None:
    now = new_york(2026, 7, 8, 12)
    assert last_closed_session(now, length) == last_closed_session(now - length)


@pytest.mark.parametrize(
    ("now", "is_open"),
    [
        (new_york(2026, 11, 25, 9, 29, 59), False),
        (new_york(2026, 11, 25, 9, 30), True),
        (new_york(2026, 11, 25, 15, 59, 59), True),
        (new_york(2026, 11, 25, 16), False),
        (new_york(2026, 11, 26, 12), False),
        (new_york(2026, 11, 27, 12, 59, 59), True),
        (new_york(2026, 11, 27, 13), False),
        (new_york(2026, 11, 28, 12), False),
        (utc(2026, 3, 9, 13, 30), True),
        (utc(2026, 11, 2, 13, 30), False),
        (new_york(2026, 7, 2, 23, 30), False),
    ],
)
def test_the_market_is_open_in_its_hours_only(now: datetime, is_open: bool) -> None:
    session = open_session(now)
    assert (session is not None) is is_open
    if session:
        assert session[0] <= now < session[1]
