"""Runs at every minute around both clock changes and New York midnight, on machines and servers of other zones.

Here belongs which minutes there are, what New York's clocks show, and what must be the same wherever it is asked: days,
partitions, ticks, lookbacks. One run in a machine of its own zone is in `zones.py`. New York's time is told here by the
two instants at which it changed, without the zone database.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import dagster as dg
from dagster._utils.schedules import schedule_execution_time_iterator

from tasty_pipeline.assets.partitions import daily_partitions
from tasty_pipeline.core.errors import TastyError
from tasty_pipeline.core.tradingdays import new_york_day
from tasty_pipeline.core.warehouse import open_warehouse
from tasty_pipeline.schedules import SCHEDULES, sync_history_schedule
from tasty_pipeline.simulator import Simulator, SimulatorConfig, serve

from .oracle import differences
from .tally import Tally
from .zones import Machine, Order, machines

PROMISE = "partitions, ticks and digests are the same at every minute and in every zone"
ZONES = ("UTC", "America/New_York", "America/Los_Angeles", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Kiritimati")
SUMMER = datetime(2026, 3, 8, 7, tzinfo=UTC), datetime(2026, 11, 1, 6, tzinfo=UTC)
MINUTE, AROUND = timedelta(minutes=1), timedelta(minutes=90)
LOOKBACK_DAYS, HISTORY_DAYS = 10, 16  # the history begins so many days before the first night
LONGEST_SHOWN = 600
WHOLE_EVERY = 10  # so many runs: of all tables, and audited
# the trade of a minute: crypto is booked on its own day, a future after 17:00 in Chicago on the next session's
SYMBOLS = ("BTC/USD", "/MESZ6", "ETH/USD")


@dataclass(frozen=True)
class Night:
    """The minutes from an hour and a half before the first moment to as long after the last."""

    name: str
    moments: tuple[datetime, ...]

    def minutes(self, every: int) -> Iterator[datetime]:
        moment = self.moments[0] - AROUND
        while moment <= self.moments[-1] + AROUND:
            yield moment
            moment += every * MINUTE


def _at(*utc: int) -> datetime:
    return datetime(*utc, tzinfo=UTC)  # type: ignore[arg-type,misc]


NIGHTS = (
    Night("midnight and the change to summer time", (_at(2026, 3, 8, 5), SUMMER[0])),
    Night("midnight after it", (_at(2026, 3, 9, 4),)),
    Night("a usual midnight", (_at(2026, 6, 10, 4),)),
    Night("midnight and the change to winter time", (_at(2026, 11, 1, 4), SUMMER[1], SUMMER[1] + timedelta(hours=1))),
    Night("the midnight after that", (_at(2026, 11, 2, 5),)),
    Night("the year's end", (_at(2027, 1, 1, 5),)),
)
EVERY_QUARTER = [f"{hour:02}:{minute:02}" for hour in range(9, 17) for minute in (0, 15, 30, 45)]
TICKS: Mapping[str, tuple[Sequence[str], Sequence[int]]] = {  # New York times, and days of the week
    "sync_portfolio_schedule": (EVERY_QUARTER, range(5)),
    "sync_history_schedule": (["04:15"], range(7)),
    "check_freshness_schedule": (["07:30", "18:30"], range(7)),
}


def new_york(moment: datetime) -> datetime:
    """What New York's clocks show, in 2026, without a zone."""
    return moment.replace(tzinfo=None) - timedelta(hours=4 if SUMMER[0] <= moment < SUMMER[1] else 5)


def search(
    *, seed: int, every: int, database: str = "", zones: Sequence[str] = ZONES, nights: Sequence[Night] = NIGHTS
) -> Tally:
    """Look at every so many minutes at the calendar in each zone, and at a run in each.

    All runs write into one warehouse, an empty one by its URL; without one there are no runs.
    """
    tally = Tally(PROMISE, seed=seed)
    first = new_york(nights[0].moments[0]).date() - timedelta(days=HISTORY_DAYS)
    with _settings(first):
        for zone in zones:
            with machine_in(zone):
                _calendar([minute for night in nights for minute in night.minutes(every)], first, zone, tally)
                _ticks(nights, zone, tally)
    if database:
        config = SimulatorConfig(
            seed=seed, now=next(nights[0].minutes(every)), start=first, accounts=1, trades_per_day=0.5
        )
        warehouse = open_warehouse(database)
        warehouse.migrate()
        with serve(config) as sim, machines(zones, database, sim, first) as everywhere:
            minutes = _Minutes(sim, everywhere, tally)
            for night in nights:
                minutes.play(list(night.minutes(every)))
                found = differences(sim, warehouse, first, new_york(sim.brokerage.clock.now()).date())
                tally.notes["nights compared with the whole ledger"] += 1
                tally.broken += [f"after {night.name}: {found}"[:LONGEST_SHOWN]] if found else []
    return tally


@contextmanager
def machine_in(zone: str) -> Iterator[None]:
    """Let this process believe that its machine stands elsewhere."""
    try:
        with patch.dict(os.environ, {"TZ": zone}):
            time.tzset()
            yield
    finally:
        time.tzset()


@contextmanager
def _settings(first: date) -> Iterator[None]:
    with TemporaryDirectory() as folder:
        settings = {"TASTY_WAREHOUSE_URL": f"duckdb:///{folder}/none.duckdb", "TT_SECRET": "s", "TT_REFRESH": "r"}
        with patch.dict(os.environ, settings | {"TASTY_HISTORY_START": first.isoformat()}):
            yield


# the calendar


def _calendar(minutes: Sequence[datetime], first: date, zone: str, tally: Tally) -> None:
    """Ask for today, the partitions and the nightly run's lookback at every minute."""
    partitions = daily_partitions()
    with dg.DagsterInstance.ephemeral() as instance:
        for moment in minutes:
            today = new_york(moment).date()
            found = {
                "today": new_york_day(moment),
                "partitions": list(partitions.get_partition_keys(current_time=moment)),
                "lookback": _lookback(instance, moment),
                "ends of today": _ends(partitions, str(today)),
            }
            wanted = {
                "today": today,
                "partitions": [str(first + timedelta(days=n)) for n in range((today - first).days + 1)],
                "lookback": [str(today - timedelta(days=LOOKBACK_DAYS)), str(today)],
                "ends of today": (_utc(today, "00:00"), _utc(today + timedelta(days=1), "00:00")),
            }
            tally.notes["minutes of the calendar"] += 1
            _expect(tally, f"{zone} at {moment}", found, wanted)


def _lookback(instance: dg.DagsterInstance, moment: datetime) -> Sequence[str]:
    with dg.build_schedule_context(instance, moment) as context:
        requests = sync_history_schedule.evaluate_tick(context).run_requests or ()
    return [each.tags[f"dagster/asset_partition_range_{end}"] for each in requests for end in ("start", "end")]


def _ends(partitions: dg.DailyPartitionsDefinition, key: str) -> tuple[datetime, datetime]:
    window = partitions.time_window_for_partition_key(key)
    return window.start.astimezone(UTC), window.end.astimezone(UTC)


def _ticks(nights: Sequence[Night], zone: str, tally: Tally) -> None:
    """Ask for the ticks of the days around every night, all at once and as the daemon does: from each to the next."""
    for night in nights:
        days = [new_york(night.moments[0]).date() + timedelta(days=n) for n in (-1, 0, 1)]
        for schedule in SCHEDULES:
            times, weekdays = TICKS[schedule.name]
            wanted = [_utc(day, at) for day in days for at in times if day.weekday() in weekdays]
            since, until = _utc(days[0], "00:00"), _utc(days[-1] + timedelta(days=1), "00:00")
            found = list(takewhile(lambda tick, until=until: tick < until, _from(schedule, since)))
            one_by_one: list[datetime] = []
            while since < until:
                since = next(_from(schedule, since)) + timedelta(seconds=1)
                one_by_one.append(since - timedelta(seconds=1))
            tally.notes["ticks of schedules"] += len(found)
            told = {"ticks": found, "one by one": one_by_one[: len(wanted)]}
            _expect(tally, f"{zone}, {schedule.name} around {night.name}", told, dict.fromkeys(told, wanted))


def _from(schedule: dg.ScheduleDefinition, since: datetime) -> Iterator[datetime]:
    found = schedule_execution_time_iterator(since.timestamp(), schedule.cron_schedule, schedule.execution_timezone)
    return (tick.astimezone(UTC) for tick in found)


def _utc(day: date, clock: str) -> datetime:
    """The moment at which New York's clocks show this; none of those asked for is skipped or repeated."""
    shown = datetime.fromisoformat(f"{day}T{clock}")
    (moment,) = (
        each for hours in (4, 5) if new_york(each := (shown + timedelta(hours=hours)).replace(tzinfo=UTC)) == shown
    )
    return moment


def _expect(tally: Tally, what: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    tally.tried += 1
    wrong = [f"{name}: {_unlike(found.get(name), each)}" for name, each in wanted.items() if found.get(name) != each]
    if wrong:
        tally.broken.append(f"{what}: {'; '.join(wrong)}"[:LONGEST_SHOWN])


def _unlike(found: Any, wanted: Any) -> str:
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = [key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)]
        found, wanted = ({key: some.get(key) for key in keys} for some in (found, wanted))
    return f"{found}, not {wanted}"


# runs


class _Minutes:
    """What happens in the minutes of a night, one after the other."""

    def __init__(self, sim: Simulator, machines: Sequence[Machine], tally: Tally) -> None:
        self._sim, self._machines, self._tally = sim, machines, tally
        self._account = sim.brokerage.accounts()[0]["account-number"]
        self._number = self._held = 0

    def play(self, minutes: Sequence[datetime]) -> None:
        start = self._sim.config.start  # the days since the last night were not asked for yet
        for place, moment in enumerate(minutes):
            self._sim.brokerage.set_now(moment)
            self._sim.brokerage.trade(self._account, symbol=SYMBOLS[self._number % len(SYMBOLS)])
            whole = not place % WHOLE_EVERY or place == len(minutes) - 1
            self._run(Order(self._account, moment, start, f"run-{self._number}", whole))
            self._number += 1
            start = new_york(moment).date() - timedelta(days=LOOKBACK_DAYS)

    def _run(self, order: Order) -> None:
        rows = self._sim.brokerage.archive(order.account).rows
        ledger = {row.id: _as_stored(row.executed_at, row.transaction_date) for row in rows}
        new, self._held = len(rows) - self._held, len(rows)
        turn, told = self._number % len(self._machines), None
        for place, machine in enumerate([*self._machines[turn:], *self._machines[:turn]]):
            what = f"{machine.zone} at {order.now}"
            try:
                seen = machine.run(replace(order, run_id=f"{order.run_id}-{place}"))
            except TastyError as error:
                _expect(self._tally, what, {"run": str(error)}, {"run": "good"})
                continue
            told = told or seen.told
            written = sum(seen.written.values())
            found = seen.told | {"transactions": seen.held, "new transactions": seen.written["transactions"]}
            wanted = told | {"transactions": ledger, "new transactions": 0 if place else new}
            wanted |= {"today": new_york(order.now).date(), "complete": True, "rows written": 0 if place else written}
            found |= {"rows written": written}
            _expect(self._tally, what, found, wanted)
            self._tally.notes["runs"] += 1
            self._tally.notes["runs that wrote nothing"] += not any(seen.written.values())
            self._tally.notes["transactions found"] += seen.written["transactions"]
            self._tally.notes[f"runs while the clocks said {' and '.join(seen.clocks)}"] += 1


def _as_stored(executed_at: datetime, day: date) -> tuple[int, date]:
    return (executed_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1), day
