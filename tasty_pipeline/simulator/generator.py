"""The days: every desk writes its rows day by day, and rows wait until their writing time has come.

Days are written once, in order, and do not depend on the clock: it decides only how many have been written and
which of their rows can be seen.
"""

import heapq
from collections.abc import Callable, Iterable
from datetime import date, datetime

from tasty_pipeline.simulator.books import Book
from tasty_pipeline.simulator.config import SimulatorConfig
from tasty_pipeline.simulator.corporate import corporate_actions
from tasty_pipeline.simulator.days import ONE_DAY, days_between
from tasty_pipeline.simulator.desk import Desk
from tasty_pipeline.simulator.events import afternoon, morning
from tasty_pipeline.simulator.future_orders import evening
from tasty_pipeline.simulator.market import Market
from tasty_pipeline.simulator.personas import Holder
from tasty_pipeline.simulator.rows import Row
from tasty_pipeline.simulator.trader import trade_day


class Generator:
    """The desks of all accounts, how far they have written, and the rows not yet visible."""

    def __init__(self, config: SimulatorConfig, market: Market) -> None:
        self._config = config
        self._market = market
        self._next = config.start
        self._pending: list[tuple[datetime, int, Row]] = []
        self.desks: dict[str, Desk] = {}

    def enter(self, holder: Holder) -> Desk:
        """Give an account a desk; it has events from its opening day on."""
        desk = self.desks[holder.number] = Desk(holder, self._config, self._market)
        return desk

    def write_through(self, last: date, visible: Callable[[str], Iterable[Row]]) -> None:
        """Write all days up to and including one. ``visible`` gives an account's rows that were written before."""
        for day in days_between(self._next, last):
            for desk in self.desks.values():
                if desk.holder.open_on(day) and not desk.asleep:
                    if desk.stale:
                        rows = [*visible(desk.holder.number), *self.waiting(desk.holder.number)]
                        desk.book, desk.stale = Book.of(sorted(rows, key=lambda row: row.key)), False
                    self._write_day(desk, day)
            self._next = day + ONE_DAY

    def waiting(self, account: str) -> list[Row]:
        """Return an account's rows that cannot be seen yet."""
        return [row for _, _, row in self._pending if row.account == account]

    def _write_day(self, desk: Desk, day: date) -> None:
        desk.begin(day)
        morning(desk)
        corporate_actions(desk)
        trade_day(desk)
        afternoon(desk)
        evening(desk)
        self.hold(desk)

    def hold(self, desk: Desk) -> None:
        """Take what a desk has written; each row waits for its writing time."""
        for row in desk.take():
            heapq.heappush(self._pending, (row.created_at, row.id, row))

    def due(self, now: datetime) -> list[Row]:
        """Return the rows whose writing time has come."""
        rows = []
        while self._pending and self._pending[0][0] <= now:
            rows.append(heapq.heappop(self._pending)[2])
        return rows

    def cancel(self, unwanted: Callable[[Row], bool]) -> None:
        """Drop waiting rows: what was planned and is overtaken by something done by hand."""
        self._pending = [item for item in self._pending if not unwanted(item[2])]
        heapq.heapify(self._pending)
