"""When the schedules run, by the iterator that the daemon itself uses, across clock changes, holidays and half days."""

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import takewhile

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from tasty_pipeline.cli import main
from tasty_pipeline.core.tradingdays import NEW_YORK, days
from tasty_pipeline.schedules import market_rest, sync_history_schedule, sync_portfolio_schedule
from tasty_pipeline.simulator import Simulator

pytestmark = pytest.mark.filterwarnings("ignore:Series.dt.weekday is deprecated")


def ticks(schedule: dg.ScheduleDefinition, first: date, last: date) -> Iterator[datetime]:
    """All ticks of the New York days from first to last, as the daemon finds them."""
    start = datetime(first.year, first.month, first.day, tzinfo=NEW_YORK)
    found = schedule_execution_time_iterator(start.timestamp(), schedule.cron_schedule, schedule.execution_timezone)
    return takewhile(lambda tick: tick.astimezone(NEW_YORK).date() <= last, found)


def evaluate(
    schedule: dg.ScheduleDefinition, moment: datetime, instance: dg.DagsterInstance
) -> dg.RunRequest | str | None:
    """What comes of one tick: a request, or the reason to skip."""
    with dg.build_schedule_context(instance, moment) as context:
        done = schedule.evaluate_tick(context)
    return done.run_requests[0] if done.run_requests else done.skip_message


def clock(moment: datetime) -> str:
    return moment.astimezone(NEW_YORK).strftime("%H:%M")


def test_every_new_york_day_of_a_year_has_exactly_one_nightly_tick_at_a_quarter_past_four() -> None:
    year = date(2026, 1, 1), date(2026, 12, 31)
    found = list(ticks(sync_history_schedule, *year))
    assert Counter(tick.astimezone(NEW_YORK).date() for tick in found) == Counter(days(*year))
    assert {clock(tick) for tick in found} == {"04:15"}


def test_the_nights_around_a_clock_change_are_23_and_25_hours_apart() -> None:
    spring = list(ticks(sync_history_schedule, date(2026, 3, 7), date(2026, 3, 8)))
    autumn = list(ticks(sync_history_schedule, date(2026, 10, 31), date(2026, 11, 1)))
    assert spring[1].timestamp() - spring[0].timestamp() == 23 * 3600
    assert autumn[1].timestamp() - autumn[0].timestamp() == 25 * 3600


@pytest.mark.parametrize("day", [date(2026, 3, 8), date(2026, 3, 9), date(2026, 11, 1), date(2026, 11, 2)])
def test_the_nightly_run_covers_today_and_the_ten_days_before_across_a_clock_change(
    environment: Simulator, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, day: date
) -> None:
    monkeypatch.setenv("TASTY_HISTORY_START", "2017-01-01")
    (tick,) = ticks(sync_history_schedule, day, day)
    request = evaluate(sync_history_schedule, tick, instance)
    assert isinstance(request, dg.RunRequest)
    assert request.tags["dagster/asset_partition_range_start"] == (day - timedelta(days=10)).isoformat()
    assert request.tags["dagster/asset_partition_range_end"] == day.isoformat()
    assert request.run_config["ops"]["transactions"]["config"]["verify_totals"] is True


def test_the_nightly_run_never_begins_before_the_history(
    environment: Simulator, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASTY_HISTORY_START", "2026-03-05")
    before, first, later = (
        evaluate(sync_history_schedule, tick, instance)
        for day in (date(2026, 3, 4), date(2026, 3, 5), date(2026, 3, 9))
        for tick in ticks(sync_history_schedule, day, day)
    )
    assert isinstance(before, str)
    assert "The history starts on 2026-03-05" in before
    assert isinstance(first, dg.RunRequest)
    assert isinstance(later, dg.RunRequest)
    assert {first.tags[name] for name in first.tags if "range" in name} == {"2026-03-05"}
    assert later.tags["dagster/asset_partition_range_start"] == "2026-03-05"


def test_a_tick_that_is_repeated_after_a_restart_has_the_same_run_key_and_no_other_tick_has_it(
    environment: Simulator, instance: dg.DagsterInstance
) -> None:
    found = list(ticks(sync_history_schedule, date(2026, 10, 31), date(2026, 11, 2)))
    keys = [evaluate(sync_history_schedule, tick, instance) for tick in (*found, found[0])]
    names = [request.run_key for request in keys if isinstance(request, dg.RunRequest)]
    assert names[0] == names[3]
    assert len(set(names)) == 3


# Friday before and Monday after each clock change; a holiday; a half day
FULL_DAYS = [date(2026, 3, 6), date(2026, 3, 9), date(2026, 10, 30), date(2026, 11, 2)]
HOLIDAYS = [date(2026, 7, 3), date(2026, 11, 26), date(2026, 12, 25)]


@pytest.mark.parametrize("day", FULL_DAYS)
def test_the_portfolio_is_read_every_quarter_from_the_open_to_the_close_and_once_after(day: date) -> None:
    runs = [clock(tick) for tick in ticks(sync_portfolio_schedule, day, day) if market_rest(tick) is None]
    quarters = [f"{hour:02}:{minute:02}" for hour in range(9, 17) for minute in (0, 15, 30, 45)]
    assert runs == quarters[quarters.index("09:30") : quarters.index("16:15") + 1]


def test_on_a_half_day_the_portfolio_is_read_until_a_quarter_past_one() -> None:
    day = date(2026, 11, 27)
    runs = [clock(tick) for tick in ticks(sync_portfolio_schedule, day, day) if market_rest(tick) is None]
    assert (runs[0], runs[-1], len(runs)) == ("09:30", "13:15", 16)


@pytest.mark.parametrize("day", HOLIDAYS)
def test_on_a_holiday_the_portfolio_is_not_read(day: date) -> None:
    rests = [market_rest(tick) for tick in ticks(sync_portfolio_schedule, day, day)]
    assert len(rests) == 32
    assert all(rest and "holiday" in rest for rest in rests)


@pytest.mark.parametrize("weekend", [(date(2026, 3, 7), date(2026, 3, 8)), (date(2026, 10, 31), date(2026, 11, 1))])
def test_a_weekend_has_no_portfolio_tick(weekend: tuple[date, date]) -> None:
    assert not list(ticks(sync_portfolio_schedule, *weekend))


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        (datetime(2026, 3, 9, 9, 15, tzinfo=NEW_YORK), "opens at 09:30"),
        (datetime(2026, 3, 9, 16, 30, tzinfo=NEW_YORK), "has closed at 16:00"),
        (datetime(2026, 11, 27, 13, 30, tzinfo=NEW_YORK), "has closed at 13:00"),
        (datetime(2026, 11, 26, 12, 0, tzinfo=NEW_YORK), "Thursday 2026-11-26 is a weekend or a holiday"),
    ],
)
def test_outside_of_a_session_the_tick_says_why_it_skips(
    environment: Simulator, instance: dg.DagsterInstance, moment: datetime, reason: str
) -> None:
    skipped = evaluate(sync_portfolio_schedule, moment, instance)
    assert isinstance(skipped, str)
    assert reason in skipped


MONDAY_NOON = datetime(2026, 11, 2, 12, 0, tzinfo=NEW_YORK)


def test_a_refused_login_is_not_tried_again_every_quarter_until_it_works_or_changes(
    environment: Simulator, repository: dg.RepositoryDefinition, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dg.instance_for_test() as instance:  # a schedule's context can open only one that has files

        def tick() -> dg.RunRequest | str | None:
            return evaluate(sync_portfolio_schedule, MONDAY_NOON, instance)

        def succeeds() -> bool:
            job, chosen = repository.get_job("sync_portfolio"), [dg.AssetKey("accounts")]
            return job.execute_in_process(instance=instance, asset_selection=chosen, raise_on_error=False).success

        environment.brokerage.revoke_grant()
        assert isinstance(tick(), dg.RunRequest)
        assert not succeeds()
        before = environment.brokerage.tokens.attempts
        skipped = tick()
        assert isinstance(skipped, str)
        assert "revoked" in skipped
        assert "connections check default" in skipped
        assert not succeeds()  # nor by a run that somebody starts
        assert environment.brokerage.tokens.attempts == before

        with monkeypatch.context() as changed:
            changed.setenv("TT_REFRESH", "another-token")
            assert isinstance(tick(), dg.RunRequest)

        environment.brokerage.restore_grant()
        assert not succeeds()
        assert main(["connections", "check", "default"]) == 0
        assert isinstance(tick(), dg.RunRequest)
        assert succeeds()


def test_without_credentials_the_run_is_requested_and_will_say_what_is_missing(
    environment: Simulator, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TT_SECRET")
    assert isinstance(evaluate(sync_portfolio_schedule, MONDAY_NOON, instance), dg.RunRequest)


@pytest.mark.parametrize("schedule", [sync_portfolio_schedule, sync_history_schedule])
def test_an_oauth_application_without_any_connection_yet_has_nothing_to_synchronise(
    environment: Simulator,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    schedule: dg.ScheduleDefinition,
) -> None:
    monkeypatch.delenv("TT_REFRESH")
    skipped = evaluate(schedule, MONDAY_NOON, instance)
    assert isinstance(skipped, str)
    assert "No connection is stored yet" in skipped


def test_one_nightly_run_covers_everything_and_marks_every_day_of_its_range(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance
) -> None:
    today = datetime.now(NEW_YORK).replace(hour=4, minute=15)
    request = evaluate(sync_history_schedule, today, instance)
    assert isinstance(request, dg.RunRequest)
    expected = {day.isoformat() for day in days(today.date() - timedelta(days=10), today.date())}
    with dg.DagsterInstance.ephemeral() as memory:
        job = repository.get_job("sync_history")
        assert job.execute_in_process(instance=memory, run_config=request.run_config, tags=request.tags).success
        for name in ("transactions", "balance_snapshots"):
            assert set(memory.get_materialized_partitions(dg.AssetKey(name))) == expected
        for name in ("accounts", "positions", "balances"):
            assert memory.get_latest_materialization_event(dg.AssetKey(name)) is not None
        assert len(memory.get_runs()) == 1
